// Ids that come from outside or out of the model, where the model has rows that no token has.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "engine/tiny_model_file.h"
#include "lazyfill/engine.h"

namespace lazyfill {
namespace {

constexpr int32_t kTokens = TinyModelFile::kVocab;
constexpr int32_t kRows = 264;
const std::vector<int32_t> kIdsOfNoToken = {
    -1,     std::numeric_limits<int32_t>::min(), kTokens, kRows - 1, kRows,
    100000, std::numeric_limits<int32_t>::max()};

class TokenIds : public testing::Test {
 protected:
  // Whatever is asked, one of the last two rows has the highest logit.
  void SetUp() override {
    TinyModelFile file;
    file.set_rows("token_embd.weight", kRows);
    file.set_rows("output.weight", kRows);
    for (size_t i = 0; i < TinyModelFile::kDModel; ++i) {
      const float weight = i % 2 == 0 ? 2.0F : -1.0F;
      file.set_float("output.weight", (kRows - 2) * TinyModelFile::kDModel + i, weight);
      file.set_float("output.weight", (kRows - 1) * TinyModelFile::kDModel + i, -weight);
    }
    ASSERT_TRUE(file.save(path_));
    auto loaded = Engine::load(path_, {.n_threads = 2});
    ASSERT_TRUE(loaded) << loaded.error().message;
    engine_.emplace(std::move(*loaded));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Result<Generation> generate(const std::vector<int32_t>& prompt, const GenerateOptions& options,
                              const Callbacks& callbacks = {}) const {
    auto session = engine_->start_session({.context_tokens = 64});
    return session ? session->generate(prompt, options, callbacks) : tl::unexpected(session.error());
  }

  const std::string path_ = testing::TempDir() + "token_ids_" + std::to_string(getpid()) + ".gguf";
  std::optional<Engine> engine_;
};

TEST_F(TokenIds, TheModelSaysHowManyThereAre) {
  EXPECT_EQ(engine_->info().n_tokens, size_t{kTokens});
  EXPECT_EQ(engine_->info().n_vocab, size_t{kRows});
}

TEST_F(TokenIds, RowsWithoutATokenAreNeverChosen) {
  for (const float temperature : {0.0F, 0.8F, 5.0F}) {
    GenerateOptions options;
    options.max_tokens = 40;
    options.stop_at_end_token = false;
    options.sampling = {.temperature = temperature, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 3};
    size_t n_wrong_highest = 0;
    Callbacks callbacks;
    callbacks.on_logits = [&](std::span<const float> logits) {
      ASSERT_EQ(logits.size(), size_t{kRows});
      const auto highest = std::max_element(logits.begin(), logits.end()) - logits.begin();
      n_wrong_highest += highest >= kTokens ? 1 : 0;
    };
    const auto generation = generate(*engine_->tokenize("the fox"), options, callbacks);
    ASSERT_TRUE(generation) << generation.error().message;
    EXPECT_EQ(generation->token_ids.size(), 40U);
    EXPECT_GT(n_wrong_highest, 30U) << "the model must want such a row, or this tests nothing";
    for (const int32_t id : generation->token_ids) EXPECT_LT(id, kTokens);
  }
}

TEST_F(TokenIds, RowsWithoutATokenAreNeverDrawnStepByStep) {
  auto session = engine_->start_session({.context_tokens = 64});
  ASSERT_TRUE(session && session->append(*engine_->tokenize("the fox")));
  for (int n = 0; n < 40; ++n) {
    ASSERT_TRUE(session->step());
    EXPECT_EQ(session->logits().size(), size_t{kRows});
    const auto token = session->sample({.temperature = n % 2 == 0 ? 0.0F : 2.0F, .seed = 5});
    ASSERT_TRUE(token);
    EXPECT_LT(*token, kTokens);
  }
}

TEST_F(TokenIds, RowsWithoutATokenCountInTheNormaliser) {
  GenerateOptions options;
  options.max_tokens = 1;
  options.n_top_logprobs = 1000;
  std::vector<double> logits;
  Callbacks callbacks;
  callbacks.on_logits = [&](std::span<const float> row) { logits.assign(row.begin(), row.end()); };
  const auto generation = generate(*engine_->tokenize("the fox"), options, callbacks);
  ASSERT_TRUE(generation) << generation.error().message;
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  const auto& top = generation->top_logprobs.at(0);
  EXPECT_EQ(top.size(), size_t{kTokens});
  for (const TokenLogprob& entry : top) {
    ASSERT_LT(entry.id, kTokens);
    EXPECT_NEAR(entry.logprob, logits[static_cast<size_t>(entry.id)] - std::log(sum), 1e-4);
  }
}

TEST_F(TokenIds, OfNoTokenAreNoText) {
  for (const int32_t id : kIdsOfNoToken) {
    EXPECT_EQ(engine_->piece(id), "") << id;
    EXPECT_EQ(engine_->detokenize(std::vector<int32_t>{id}), "") << id;
    EXPECT_EQ(engine_->detokenize(std::vector<int32_t>{'a', id, 'b'}, true), "ab") << id;
  }
}

TEST_F(TokenIds, OfNoTokenAreRefusedWithASentence) {
  const std::vector<int32_t> good = *engine_->tokenize("the");
  for (const int32_t id : kIdsOfNoToken) {
    const std::string sentence =
        "token id " + std::to_string(id) + " does not exist; this model has ids from 0 to 259";
    const auto prompt = generate({good[0], id}, {});
    ASSERT_FALSE(prompt);
    EXPECT_EQ(prompt.error().message, sentence);
    GenerateOptions options;
    options.forced_tokens = {good[0], id};
    const auto forced = generate(good, options);
    ASSERT_FALSE(forced);
    EXPECT_EQ(forced.error().message, sentence);
    const auto logprobs = engine_->start_executor({})->token_logprobs(std::vector<int32_t>{good[0], id}, {});
    ASSERT_FALSE(logprobs);
    EXPECT_EQ(logprobs.error().message, sentence);
    auto session = engine_->start_session({.context_tokens = 64});
    ASSERT_TRUE(session);
    EXPECT_FALSE(session->append(std::vector<int32_t>{good[0], id}));
    EXPECT_FALSE(session->sync(std::vector<int32_t>{good[0], id}));
    EXPECT_TRUE(session->tokens().empty());
  }
}

}  // namespace
}  // namespace lazyfill
