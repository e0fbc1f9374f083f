// Files that are GGUF to the last byte and lie about the model: sizes, tensors, tokeniser, template, weights.
// What breaks the format itself is in gguf/file_test.cc and gguf/split_test.cc, byte soup in fuzz/.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "base/half.h"
#include "engine/tiny_model_file.h"
#include "lazyfill/engine.h"

namespace lazyfill {
namespace {

using gguf::TensorType;
using testing::HasSubstr;

constexpr unsigned kMostSeconds = 20;             // a hang is a failure; everything here takes milliseconds
constexpr long kMostGrowthKib = long{384} << 10;  // of the process; sanitisers keep freed memory for a while
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr char kModelShape[] = "where the metadata asks for";

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class HostileFiles : public testing::Test {
 protected:
  void SetUp() override {
    alarm(kMostSeconds);
    peak_before_kib_ = peak_kib();
  }
  void TearDown() override {
    alarm(0);
    EXPECT_LT(peak_kib() - peak_before_kib_, kMostGrowthKib);
    std::filesystem::remove(path_);
  }

  Result<Engine> load(const TinyModelFile& file) {
    const auto saved = file.save(path_);
    EXPECT_TRUE(saved) << saved.error().message;
    return Engine::load(path_, {.n_threads = 2});
  }

  void expect_refused(const TinyModelFile& file, const std::string& message) {
    const auto engine = load(file);
    ASSERT_FALSE(engine);
    EXPECT_THAT(engine.error().message, HasSubstr(message));
    EXPECT_THAT(engine.error().message, testing::Not(HasSubstr("\n")));
  }

  static Result<Generation> answer(const Engine& engine, const std::string& schedule = "off") {
    SessionOptions options;
    options.context_tokens = 64;
    options.lazy.schedule = schedule;
    auto session = engine.start_session(options);
    if (!session) return tl::unexpected(session.error());
    auto tokens = engine.tokenize("the quick brown fox");
    if (!tokens) return tl::unexpected(tokens.error());
    GenerateOptions generate;
    generate.max_tokens = 3;
    return session->generate(*tokens, generate, {});
  }

  const std::string path_ = testing::TempDir() + "hostile_" + std::to_string(getpid()) + ".gguf";
  long peak_before_kib_ = 0;
};

TEST_F(HostileFiles, TheModelItselfAnswers) {
  const auto engine = load({});
  ASSERT_TRUE(engine) << engine.error().message;
  for (const char* schedule : {"off", "0:0.5"}) {
    const auto generation = answer(*engine, schedule);
    ASSERT_TRUE(generation) << generation.error().message;
    EXPECT_GT(generation->token_ids.size(), 0U);
  }
}

struct Lie {
  const char* name;
  std::function<void(TinyModelFile&)> tell;
  const char* expected;  // part of the sentence
};
void PrintTo(const Lie& lie, std::ostream* out) {
  *out << lie.name;
}
using Tell = std::function<void(TinyModelFile&)>;

Tell with_uint(const std::string& key, uint64_t value) {
  return [=](TinyModelFile& file) { file.set_uint(key, value); };
}
Tell with_value(const std::string& key, const gguf::Value& value) {
  return [=](TinyModelFile& file) { file.set(key, value); };
}
Tell without(const std::string& key) {
  return [=](TinyModelFile& file) { file.metadata.erase(key); };
}
Tell without_tensor(const std::string& name) {
  return [=](TinyModelFile& file) { file.tensors.erase(name); };
}
template <class T>
Tell with_array(const std::string& key, const std::vector<T>& values) {
  return [=](TinyModelFile& file) { file.set_array(key, values); };
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

std::string name_of_lie(const testing::TestParamInfo<Lie>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(Sizes, Lies, testing::ValuesIn(lies_of_sizes()), name_of_lie);
INSTANTIATE_TEST_SUITE_P(Tensors, Lies, testing::ValuesIn(lies_of_tensors()), name_of_lie);
INSTANTIATE_TEST_SUITE_P(Tokenizer, Lies, testing::ValuesIn(lies_of_tokenizers()), name_of_lie);
INSTANTIATE_TEST_SUITE_P(Weights, Lies, testing::ValuesIn(lies_of_weights()), name_of_lie);

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
    EXPECT_THAT(session.error().message, HasSubstr("not enough memory"));
  }
}

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
