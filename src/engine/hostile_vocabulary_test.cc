// Files that are GGUF to the last byte and lie about the tokeniser or bring a template that never ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/hostile_files.h"

namespace lazyfill {
namespace {

std::vector<Lie> lies_of_tokenizers() {
  const std::string prefix = "tokenizer.ggml.";
  const std::vector<std::string> two = {"a", "b"};
  return {
      {"ModelMissing", without(prefix + "model"), "is missing"},
      {"ModelUnknown", with_value(prefix + "model", std::string("rot13")), "rot13"},
      {"TokensMissing", without(prefix + "tokens"), "tokenizer.ggml.tokens"},
      {"TokensOfNumbers", with_array<int64_t>(prefix + "tokens", {1, 2}), "not an array of strings"},
      {"TokensNoArray", with_uint(prefix + "tokens", 2), "not an array of strings"},
      {"TokensEmpty", with_array<std::string>(prefix + "tokens", {}), "is empty"},
      {"TokensFewerThanTypes", with_array(prefix + "tokens", two), "token_type has 260 entries for 2 tokens"},
      {"TypesLonger", with_array(prefix + "token_type", std::vector<int64_t>(261, 1)),
       "token_type has 261 entries for 260 tokens"},
      {"TypesShorter", with_array<int64_t>(prefix + "token_type", {1, 1}), "token_type has 2 entries"},
      {"TypesUnknown", with_array(prefix + "token_type", std::vector<int64_t>(260, 77)), "token_type"},
      {"TypesNegative", with_array(prefix + "token_type", std::vector<int64_t>(260, -1)), "token_type"},
      {"TypesOfText", with_array(prefix + "token_type", two), "is not an array of integers"},
      {"MergesMissing", without(prefix + "merges"), "tokenizer.ggml.merges"},
      {"MergesOfNumbers", with_array<int64_t>(prefix + "merges", {1}), "not an array of strings"},
      {"MergesOfUnknownTokens", with_array<std::string>(prefix + "merges", {"t h", "qqq zzz"}),
       "entry 1 joins tokens"},
      {"MergesWithoutASpace", with_array<std::string>(prefix + "merges", {"th"}), "merges entry 0"},
      {"ScoresShorter",
       [=](TinyModelFile& file) {
         file.set(prefix + "model", std::string("llama"));
         file.set_array(prefix + "scores", std::vector<double>{0.0, 1.0});
       },
       "scores"},
      {"ScoresLonger",
       [=](TinyModelFile& file) {
         file.set(prefix + "model", std::string("llama"));
         file.set_array(prefix + "scores", std::vector<double>(261, 0.0));
       },
       "scores has 261 entries for 260 tokens"},
      {"ScoresNaN",
       [=](TinyModelFile& file) {
         file.set(prefix + "model", std::string("llama"));
         file.set_array(prefix + "scores", std::vector<double>(260, kNan));
       },
       "not finite"},
      {"MoreTokensThanRows",
       [=](TinyModelFile& file) {
         auto tokens = TinyModelFile::tokens();
         tokens.resize(300, "<more>");
         file.set_array(prefix + "tokens", tokens);
         file.set_array(prefix + "token_type", std::vector<int64_t>(300, 1));
       },
       "300 tokens but the embedding only 260 rows"},
      {"ChatTemplateNumber", with_uint("tokenizer.chat_template", 1), "is not a string"},
  };
}

class VocabularyLies : public HostileFiles, public testing::WithParamInterface<Lie> {};

TEST_P(VocabularyLies, AreRefusedWithASentence) {
  TinyModelFile file;
  GetParam().tell(file);
  expect_refused(file, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, VocabularyLies, testing::ValuesIn(lies_of_tokenizers()), name_of_lie);

TEST_F(HostileFiles, TemplatesThatNeverEnd) {
  for (const char* source :
       {"{% for i in range(1000000000) %}{% for j in range(1000000000) %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'xxxxxxxxxxxxxxxx' * 1000000000 }}"}) {
    TinyModelFile file;
    file.set("tokenizer.chat_template", std::string(source));
    const auto engine = load(file);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto text = engine->apply_chat_template({.messages = {{"user", "hello"}}});
    ASSERT_FALSE(text) << source;
    EXPECT_FALSE(text.error().message.empty());
    EXPECT_TRUE(answer(*engine)) << "a prompt without the template still works";
  }
}

}  // namespace
}  // namespace lazyfill
