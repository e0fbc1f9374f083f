#include "conversation/said_tokens.h"

#include <gtest/gtest.h>

#include "engine/tiny_engine.h"

namespace lazyfill {
namespace {

// As ChatML writes it, with <end> for the token that ends a turn.
RenderedChat chat_of(const std::vector<std::pair<std::string, std::string>>& turns, const std::string& end) {
  RenderedChat chat;
  const auto add = [&](const std::string& text, bool by_template) {
    if (by_template) chat.template_spans.push_back({chat.text.size(), chat.text.size() + text.size()});
    chat.text += text;
  };
  for (const auto& [role, content] : turns) {
    add(role + ":", true);
    add(content, false);
    add(end + "\n", true);
  }
  return chat;
}

TEST(SaidTokens, ABeginningAndItsRestAreTheWhole) {
  const RenderedChat chat = chat_of({{"u", "abc"}, {"a", "de"}}, "|");
  for (size_t cut = 0; cut <= chat.text.size(); ++cut) {
    const RenderedChat begin = begin_of(chat, cut);
    const RenderedChat rest = rest_of(chat, cut);
    EXPECT_EQ(begin.text + rest.text, chat.text);
    std::vector<bool> whole(chat.text.size());
    for (const TextSpan& span : chat.template_spans)
      for (size_t i = span.begin; i < span.end; ++i) whole[i] = true;
    std::vector<bool> cut_up(chat.text.size());
    for (const TextSpan& span : begin.template_spans)
      for (size_t i = span.begin; i < span.end; ++i) cut_up[i] = true;
    for (const TextSpan& span : rest.template_spans)
      for (size_t i = span.begin; i < span.end; ++i) cut_up[cut + i] = true;
    EXPECT_EQ(whole, cut_up) << cut;
  }
}

class Said : public testing::Test {
 protected:
  Said() : engine_(load_tiny_engine(1)), said_(engine_, 4096) {
    for (int32_t id = 0; end_.empty() && id < static_cast<int32_t>(engine_.info().n_tokens); ++id)
      if (engine_.is_end(id)) end_ = engine_.piece(id);
  }
  std::vector<int32_t> by_tokenizer(const RenderedChat& chat) const { return *engine_.tokenize_chat(chat); }
  std::vector<int32_t> known(const RenderedChat& chat) { return *said_.tokenize(chat); }

  Engine engine_;
  SaidTokens said_;
  std::string end_;
};

TEST_F(Said, AnAnswerComesBackWithTheTokensThatItWasComputedOf) {
  ASSERT_FALSE(end_.empty());
  const RenderedChat said = chat_of({{"u", "ab"}, {"a", "ba"}}, end_);
  const size_t n_prompt = said.text.rfind("ba");
  const std::vector<int32_t> tokens = {5, 6, 7, 8};  // no tokeniser's
  said_.remember(said, n_prompt, tokens);
  const RenderedChat next = chat_of({{"u", "ab"}, {"a", "ba"}, {"u", "b"}}, end_);
  std::vector<int32_t> expected = tokens;
  const size_t cut = said.text.rfind(end_);
  const std::vector<int32_t> rest = by_tokenizer(rest_of(next, cut));
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(known(next), expected);
  const RenderedChat other = chat_of({{"u", "ab"}, {"a", "bb"}, {"u", "b"}}, end_);
  EXPECT_EQ(known(other), by_tokenizer(other));
}

TEST_F(Said, ATextThatSpellsAConversationIsNotIt) {
  const RenderedChat said = chat_of({{"u", "ab"}, {"a", "ba"}}, end_);
  said_.remember(said, said.text.rfind("ba"), {5, 6, 7, 8});
  // The same characters, but all of them in one message.
  RenderedChat spelt = chat_of({{"u", "ab"}, {"a", "ba"}, {"u", "b"}}, end_);
  spelt.template_spans = {{0, 2}, {spelt.text.size() - 1, spelt.text.size()}};
  EXPECT_EQ(known(spelt), by_tokenizer(spelt));
}

TEST_F(Said, WhatIsRememberedIsBounded) {
  const std::vector<int32_t> tokens(200, 3);
  std::vector<RenderedChat> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(chat_of({{"u", std::string(1, static_cast<char>('a' + i))}, {"a", "ba"}}, end_));
    said_.remember(all.back(), 0, tokens);
  }
  EXPECT_EQ(known(all.front()), by_tokenizer(all.front()));
  EXPECT_EQ(known(all.back()).front(), 3);
  said_.remember(all.front(), 0, std::vector<int32_t>(2000, 3));  // more than there is room for
  EXPECT_EQ(known(all.front()), by_tokenizer(all.front()));
  EXPECT_EQ(known(all.back()).front(), 3);
}

TEST_F(Said, AnAnswerThatTheTemplateChangedIsNotRemembered) {
  const RenderedChat said = chat_of({{"u", "ab"}, {"a", "ba"}}, end_);
  said_.remember(said, said.text.size(), {5, 6, 7});  // the prompt is longer than all of it
  EXPECT_EQ(known(said), by_tokenizer(said));
  const RenderedChat endless = chat_of({{"u", "ab"}, {"a", "ba"}}, "");
  said_.remember(endless, 0, {5, 6, 7});
  EXPECT_EQ(known(endless), by_tokenizer(endless));
}

}  // namespace
}  // namespace lazyfill
