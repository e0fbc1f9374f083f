// Files that say odd things which make no model useless.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/hostile_files.h"

namespace lazyfill {
namespace {

// Odd, but nothing that makes the model useless: it must load and answer.
std::vector<Lie> oddities() {
  const std::string tokens_key = "tokenizer.ggml.tokens";
  const auto with_token = [=](const std::string& token) {
    return [=](TinyModelFile& file) {
      auto tokens = TinyModelFile::tokens();
      tokens[259] = token;
      file.set_array(tokens_key, tokens);
    };
  };
  return {
      {"TokenOfInvalidUtf8", with_token("\xff\xfe\x80"), ""},
      {"TokenOfOneMegabyte", with_token(std::string(1 << 20, 'a')), ""},
      {"TokenEmpty", with_token(""), ""},
      {"TokenTwice", with_token("<s>"), ""},
      {"ContextHuge", with_uint("llama.context_length", uint64_t{1} << 28), ""},
      {"VocabSizeSmaller", with_uint("llama.vocab_size", 3), ""},
      {"VocabSizeLarger", with_uint("llama.vocab_size", uint64_t{1} << 40), ""},
      {"ScoresThatNobodyNeeds", with_array("tokenizer.ggml.scores", std::vector<double>(3, 1.0)), ""},
      {"MoreRowsThanTokens",
       [](TinyModelFile& file) {
         file.set_rows("token_embd.weight", 300);
         file.set_rows("output.weight", 300);
       },
       ""},
      {"NoSpecialTokens",
       [](TinyModelFile& file) {
         file.metadata.erase("tokenizer.ggml.bos_token_id");
         file.metadata.erase("tokenizer.ggml.eos_token_id");
       },
       ""},
      // Of special tokens that do not exist the user is warned.
      {"BosOutOfRange", with_uint("tokenizer.ggml.bos_token_id", 260), "bos_token_id"},
      {"EosOutOfRange", with_uint("tokenizer.ggml.eos_token_id", uint64_t{1} << 63), "eos_token_id"},
      {"EosNegative", with_value("tokenizer.ggml.eos_token_id", int64_t{-1}), "eos_token_id"},
      {"UnknownOutOfRange", with_uint("tokenizer.ggml.unknown_token_id", UINT32_MAX), "unknown_token_id"},
  };
}

class Oddities : public HostileFiles, public testing::WithParamInterface<Lie> {};

TEST_P(Oddities, DoNoHarm) {
  TinyModelFile file;
  GetParam().tell(file);
  const auto engine = load(file);
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<std::string>& warnings = engine->info().warnings;
  EXPECT_EQ(warnings.empty(), std::string(GetParam().expected).empty());
  for (const std::string& warning : warnings) EXPECT_THAT(warning, testing::HasSubstr(GetParam().expected));
  const auto generation = answer(*engine);
  EXPECT_TRUE(generation) << generation.error().message;
}
INSTANTIATE_TEST_SUITE_P(HostileFiles, Oddities, testing::ValuesIn(oddities()), name_of_lie);

// A session of the whole context that the file claims: memory that nobody writes costs nothing, or is
// refused.
TEST_F(HostileFiles, SessionOfAHugeContext) {
  TinyModelFile file;
  file.set_uint("llama.context_length", uint64_t{1} << 28);
  const auto engine = load(file);
  ASSERT_TRUE(engine);
  const auto session = engine->start_session({});
  if (!session) {
    EXPECT_THAT(session.error().message, testing::HasSubstr("not enough memory"));
  }
}

}  // namespace
}  // namespace lazyfill
