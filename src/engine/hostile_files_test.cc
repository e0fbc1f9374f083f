// Files that are GGUF to the last byte and lie about the model: sizes, tensors, weights. The tokeniser's lies
// are in hostile_vocabulary_test.cc, what is only odd in odd_files_test.cc, what breaks the format in
// gguf/file_test.cc and gguf/split_test.cc, byte soup in fuzz/.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "engine/hostile_files.h"

namespace lazyfill {
namespace {

using gguf::TensorType;
using testing::HasSubstr;

TEST_F(HostileFiles, TheModelItselfAnswers) {
  const auto engine = load({});
  ASSERT_TRUE(engine) << engine.error().message;
  for (const char* schedule : {"off", "0:0.5"}) {
    const auto generation = answer(*engine, schedule);
    ASSERT_TRUE(generation) << generation.error().message;
    EXPECT_GT(generation->token_ids.size(), 0U);
  }
}

std::vector<Lie> lies_of_sizes() {
  const std::string n_layers = "llama.block_count";
  const std::string n_heads = "llama.attention.head_count";
  const std::string eps = "llama.attention.layer_norm_rms_epsilon";
  return {
      {"HeadCount0", with_uint(n_heads, 0), "head_count is 0; it must be from 1"},
      {"HeadCount2To31", with_uint(n_heads, uint64_t{1} << 31), "head_count is 2147483648"},
      {"HeadCountAboveModel", with_uint(n_heads, 64), "multiple of 8"},
      {"HeadCountKv0", with_uint(n_heads + "_kv", 0), "head_count_kv is 0"},
      {"HeadCountKvNotDividing", with_uint(n_heads + "_kv", 3), "cannot share"},
      {"BlockCount0", with_uint(n_layers, 0), "block_count is 0"},
      {"BlockCount2To31", with_uint(n_layers, uint64_t{1} << 31), "block_count is 2147483648"},
      {"BlockCount2To63", with_uint(n_layers, uint64_t{1} << 63), "block_count is 9223372036854775808"},
      {"BlockCountNegative", with_value(n_layers, int64_t{-1}), "is negative"},
      {"BlockCountText", with_value(n_layers, std::string("2")), "is not an integer"},
      {"BlockCountMissing", without(n_layers), "is missing"},
      {"BlockCountAboveTensors", with_uint(n_layers, 1000), "blk.2.attn_norm.weight is missing"},
      {"RopeDimsOdd", with_uint("llama.rope.dimension_count", 7), "is odd"},
      {"RopeDimsAboveHead", with_uint("llama.rope.dimension_count", 16), "must be from 1 to 8"},
      {"RopeBase0", with_value("llama.rope.freq_base", 0.0), "must be above 1"},
      {"RopeBaseNaN", with_value("llama.rope.freq_base", kNan), "is not finite"},
      {"RopeBaseInf", with_value("llama.rope.freq_base", kInf), "is not finite"},
      {"EpsNaN", with_value(eps, kNan), "is not finite"},
      {"EpsInf", with_value(eps, kInf), "is not finite"},
      {"EpsNegative", with_value(eps, -1e-5), "must be above 0"},
      {"EpsMissing", without(eps), "is missing"},
      {"Context0", with_uint("llama.context_length", 0), "context_length is 0"},
      {"Context2To40", with_uint("llama.context_length", uint64_t{1} << 40), "context_length is"},
      {"EmbeddingLength0", with_uint("llama.embedding_length", 0), "embedding_length is 0"},
      {"EmbeddingLengthHuge", with_uint("llama.embedding_length", uint64_t{1} << 62), "embedding_length is"},
      {"EmbeddingLengthOther", with_uint("llama.embedding_length", 64), kModelShape},
      {"FeedForwardOther", with_uint("llama.feed_forward_length", 63), kModelShape},
      {"FeedForward0", with_uint("llama.feed_forward_length", 0), "feed_forward_length is 0"},
      {"KeyLengthOdd", with_uint("llama.attention.key_length", 7), "multiple of 8"},
      {"KeyLengthHuge", with_uint("llama.attention.key_length", uint64_t{1} << 33), "key_length is"},
      {"ArchitectureMissing", without("general.architecture"), "is missing"},
      {"ArchitectureNumber", with_uint("general.architecture", 1), "is not a string"},
      {"ArchitectureUnknown", with_value("general.architecture", std::string(1 << 20, 'x')),
       "is not supported"},
  };
}

std::vector<Lie> lies_of_tensors() {
  std::vector<Lie> lies = {
      {"EmbeddingMissing", without_tensor("token_embd.weight"), "token_embd.weight is missing"},
      {"OutputNormMissing", without_tensor("output_norm.weight"), "output_norm.weight is missing"},
      {"QueryMissing", without_tensor("blk.1.attn_q.weight"), "blk.1.attn_q.weight is missing"},
      {"DownMissing", without_tensor("blk.0.ffn_down.weight"), "blk.0.ffn_down.weight is missing"},
      {"NormMissing", without_tensor("blk.1.ffn_norm.weight"), "blk.1.ffn_norm.weight is missing"},
      {"MatrixTransposed",
       [](TinyModelFile& file) {
         std::swap(file.tensors["blk.0.ffn_up.weight"].shape[0],
                   file.tensors["blk.0.ffn_up.weight"].shape[1]);
       },
       kModelShape},
      {"EmbeddingIsAVector",
       [](TinyModelFile& file) { file.tensors["token_embd.weight"].shape = {32 * 260}; }, "not a matrix"},
      {"MatrixIsACube",
       [](TinyModelFile& file) {
         file.tensors["blk.0.attn_q.weight"].shape = {32, 16, 2};
       },
       kModelShape},
      {"NormIsAMatrix",
       [](TinyModelFile& file) {
         file.tensors["output_norm.weight"].shape = {16, 2};
       },
       kModelShape},
      {"VocabularyOfTwoSizes",
       [](TinyModelFile& file) {
         file.tensors["output.weight"].shape = {32, 130};
         file.tensors["output.weight"].data.resize(32 * 130 * 4);
       },
       kModelShape},
  };
  for (const uint64_t n_rows : {uint64_t{259}, uint64_t{261}}) {
    lies.push_back({n_rows < 260 ? "HeadOfFewerRows" : "HeadOfMoreRows",
                    [=](TinyModelFile& file) { file.set_rows("output.weight", n_rows); }, kModelShape});
  }
  lies.push_back({"EmbeddingOfFewerRows",
                  [](TinyModelFile& file) {
                    file.set_rows("token_embd.weight", 200);
                    file.set_rows("output.weight", 200);
                  },
                  "260 tokens but the embedding only 200 rows"});
  for (const auto& [name, type] :
       {std::pair{"MatrixOfIntegers", TensorType::kI32}, std::pair{"MatrixOfDoubles", TensorType::kF64}}) {
    const TensorType other = type;
    lies.push_back({name, [other](TinyModelFile& file) { file.set_type("blk.0.attn_q.weight", other); },
                    "cannot compute with"});
  }
  lies.push_back({"NormOfIntegers",
                  [](TinyModelFile& file) { file.set_type("output_norm.weight", TensorType::kI32); },
                  "cannot be read"});
  return lies;
}

// fp16 infinity and no number, where the blocks of Q8_0 and Q4_1 have their scales and minima.
Tell with_half(TensorType type, size_t at, uint16_t bits) {
  return [=](TinyModelFile& file) {
    file.set_type("blk.1.attn_k.weight", type);
    std::memcpy(file.tensors["blk.1.attn_k.weight"].data.data() + at, &bits, 2);
  };
}

std::vector<Lie> lies_of_weights() {
  static constexpr char kNotFinite[] = "blk.1.attn_k.weight: holds a number that is not finite";
  return {
      {"ScaleInf", with_half(TensorType::kQ8_0, 34 * 5, 0x7c00), kNotFinite},
      {"ScaleNaN", with_half(TensorType::kQ4_0, 18 * 3, 0x7e00), kNotFinite},
      {"MinimumNaN", with_half(TensorType::kQ4_1, 2, 0xfe00), kNotFinite},
      {"Mxfp4Exponent", with_half(TensorType::kMXFP4, 17 * 2, 0x00ff), kNotFinite},
      {"HalfNaN", with_half(TensorType::kF16, 10, 0x7e01), kNotFinite},
      {"Bfloat16Inf", with_half(TensorType::kBF16, 10, 0xff80), kNotFinite},
      {"FloatNaN", [](TinyModelFile& file) { file.set_float("blk.1.attn_k.weight", 77, kNan); }, kNotFinite},
      {"NormInf", [](TinyModelFile& file) { file.set_float("output_norm.weight", 3, kInf); },
       "output_norm.weight: holds a number that is not finite"},
  };
}

class Lies : public HostileFiles, public testing::WithParamInterface<Lie> {};

TEST_P(Lies, AreRefusedWithASentence) {
  TinyModelFile file;
  GetParam().tell(file);
  expect_refused(file, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Lies, testing::ValuesIn(lies_of_sizes()), name_of_lie);
INSTANTIATE_TEST_SUITE_P(Tensors, Lies, testing::ValuesIn(lies_of_tensors()), name_of_lie);
INSTANTIATE_TEST_SUITE_P(Weights, Lies, testing::ValuesIn(lies_of_weights()), name_of_lie);

class ComputedNonsense : public HostileFiles, public testing::WithParamInterface<const char*> {};

// Weights that are numbers, and a model that is none.
TEST_P(ComputedNonsense, IsAnErrorNotAnAnswer) {
  constexpr char kMessage[] = "logits that are no finite numbers";
  TinyModelFile overflow;
  overflow.set_floats("blk.0.attn_q.weight", std::vector<float>(32 * 32, 3e38F));
  overflow.set_floats("blk.0.ffn_up.weight", std::vector<float>(32 * 64, 3e38F));
  TinyModelFile embedding;  // which is not looked at as a whole: the head is another tensor
  embedding.set_floats("token_embd.weight", std::vector<float>(32 * 260, static_cast<float>(kNan)));
  for (const TinyModelFile& file : {overflow, embedding}) {
    const auto engine = load(file);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto generation = answer(*engine, GetParam());
    ASSERT_FALSE(generation);
    EXPECT_THAT(generation.error().message, HasSubstr(kMessage));
  }
}
INSTANTIATE_TEST_SUITE_P(HostileFiles, ComputedNonsense, testing::Values("off", "0:0.5"),
                         [](const auto& test) { return test.index == 0 ? "Dense" : "Lazy"; });

TEST_F(HostileFiles, FileThatShrinksWhileItIsInUse) {
  const auto engine = load({});
  ASSERT_TRUE(engine);
  std::filesystem::resize_file(path_, 1000);
  const auto generation = answer(*engine);
  ASSERT_FALSE(generation);
  EXPECT_THAT(generation.error().message, HasSubstr("has become shorter while it was in use"));
}

}  // namespace
}  // namespace lazyfill
