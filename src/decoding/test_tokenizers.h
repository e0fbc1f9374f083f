// Tokenisers of a few tokens, for tests of what guides do with them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "decoding/guide.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {

struct SmallVocabulary {
  std::string model = "gpt2";
  std::string pre = "gpt-2";
  std::vector<std::string> tokens{"<end>"};  // token 0 ends an answer
  std::vector<std::string> merges;
  std::vector<float> scores;
  bool space_prefix = true;
  std::set<int32_t> control{0};

  std::unique_ptr<Tokenizer> make() const {
    TokenizerData data;
    data.model = model;
    data.pre = pre;
    data.tokens = tokens;
    data.merges = merges;
    data.scores = scores;
    data.types.assign(tokens.size(), 1);
    for (const int32_t id : control) data.types[static_cast<size_t>(id)] = 3;
    data.eos_id = 0;
    data.add_space_prefix = space_prefix;
    data.lower_case = false;
    auto tokenizer = make_tokenizer(data);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return std::move(*tokenizer);
  }
};

// A vocabulary of byte-level BPE over some characters, with n random merges.
inline SmallVocabulary random_bpe(const std::vector<std::string>& characters, size_t n,
                                  std::mt19937& random) {
  SmallVocabulary made;
  made.tokens.insert(made.tokens.end(), characters.begin(), characters.end());
  for (size_t i = 0; i < n; ++i) {
    const std::string left = made.tokens[1 + random() % (made.tokens.size() - 1)];
    const std::string right = made.tokens[1 + random() % (made.tokens.size() - 1)];
    made.merges.push_back(left + " " + right);
    const bool known = std::find(made.tokens.begin(), made.tokens.end(), left + right) != made.tokens.end();
    if (!known) made.tokens.push_back(left + right);
  }
  return made;
}

inline std::shared_ptr<Guide> guide_of(const Tokenizer& tokenizer, const GuideOptions& options) {
  auto guide = Guide::compile(options, std::make_shared<const GuideVocabulary>(tokenizer));
  EXPECT_TRUE(guide) << guide.error().message;
  return guide ? *guide : nullptr;
}

// All answers that a constraint lets come about. Each place that is reached must have a way on or be an end.
inline std::set<std::vector<int32_t>> all_answers(Constraint& constraint, size_t n_tokens) {
  std::set<std::vector<int32_t>> answers;
  std::vector<int32_t> answer;
  const std::function<void()> go_on = [&] {
    bool stuck = !constraint.may_end();
    if (!stuck) answers.insert(answer);
    for (size_t i = 1; i < n_tokens; ++i) {
      const auto token = static_cast<int32_t>(i);
      if (!constraint.allows(token)) continue;
      EXPECT_TRUE(has_token(constraint.mask(), token));
      stuck = false;
      constraint.accept(token);
      answer.push_back(token);
      go_on();
      constraint.rewind(1);
      answer.pop_back();
    }
    EXPECT_FALSE(stuck) << "a dead end after " << answer.size() << " tokens";
  };
  go_on();
  return answers;
}

}  // namespace lazyfill
