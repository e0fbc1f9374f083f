// Token ids of a corpus, as the reference tokenisers give them; written by scripts/make_tokenizer_goldens.py.
// The models are where LAZYFILL_TEST_MODELS says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tokenizer/tokenizer.h"

namespace lazyfill {
namespace {

nlohmann::json golden(const std::string& name) {
  std::ifstream file(std::string(LAZYFILL_GOLDEN_DIR "/") + name);
  return nlohmann::json::parse(file, nullptr, false);
}

class TokenizerGolden : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(TokenizerGolden, IdsEqualTheReference) {
  const auto [model, ids_file] = GetParam();
  const char* folder = std::getenv("LAZYFILL_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "LAZYFILL_TEST_MODELS does not name the folder of the models";
  const auto path = std::filesystem::path(folder) / model;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const auto file = gguf::File::open(path.string());
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;

  const nlohmann::json texts = golden("tokenizer_corpus.json");
  const nlohmann::json expected = golden(ids_file);
  ASSERT_GT(texts.size(), 100U);
  ASSERT_EQ(expected.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = (*tokenizer)->encode(texts[i].get<std::string>(), {.add_special = false});
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, expected[i].get<std::vector<int32_t>>()) << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, TokenizerGolden,
    ::testing::Values(std::pair{"SmolLM2-135M-Instruct.Q4_1.gguf", "tokenizer_ids_smollm2.json"},
                      std::pair{"gemma-3-270m-q4_k_m.gguf", "tokenizer_ids_gemma3.json"}),
    [](const auto& test) {
      return std::string(test.param.first).substr(0, 4) == "gemm" ? "gemma3" : "smollm2";
    });

}  // namespace
}  // namespace lazyfill
