// What the tests of a step share: a model that is computed in many ways, and sequences that go through it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/step.h"
#include "engine/tiny_model_file.h"
#include "gguf/file.h"
#include "kernels/test_isa.h"
#include "pruning/policy.h"
#include "pruning/schedule.h"

// Equality is the backbone: what a sequence computes alone it computes, to the bit, in any company.
namespace lazyfill {

inline constexpr TinyModelFile::Sizes kSizes{.n_layers = 6,
                                             .d_model = 128,
                                             .d_ff = 160,
                                             .n_heads = 4,
                                             .n_kv_heads = 2,
                                             .context_length = 2048,
                                             .q8 = true};
inline constexpr int32_t kPoison = 200;  // a token whose logits are no numbers
inline constexpr size_t kAnswer = 4;     // decode steps

inline std::vector<int32_t> some_tokens(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 190);
  return tokens;
}

// A model of six layers, two of them with a window, in a file that is gone with it.
struct TestModel {
  explicit TestModel(const Kernels& kernels) {
    path = testing::TempDir() + "step_fixture_" + std::to_string(getpid()) + ".gguf";
    TinyModelFile tiny(kSizes);
    tiny.set_float("token_embd.weight", static_cast<size_t>(kPoison) * kSizes.d_model,
                   std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(tiny.save(path));
    file.emplace(*gguf::File::open(path));
    model = *Model::load(*file, kernels, ActivationBits::k16, Team::alone());
    model.config.layers[2].window = model.config.layers[4].window = 40;
  }
  ~TestModel() { unlink(path.c_str()); }

  std::string path;
  std::optional<gguf::File> file;
  Model model;
};

struct Way {
  std::string name;
  std::string schedule = "off";
  LazyOptions lazy = {};
};

inline std::vector<Way> all_ways() {
  std::vector<Way> ways = {{"dense"}};
  for (const PolicyInfo& info : policies()) {
    Way way{std::string(info.name), "1:0.5,3:0.6"};
    way.lazy.policy = info.policy;
    limit_revivals(way.lazy);
    if (info.leaves == Leaves::kRows) ways.push_back(way);
  }
  Way sparse{"sparse", "3:0.5"};
  sparse.lazy.attention_mass = 0.8F;
  ways.push_back(sparse);
  Way everything{"everything back", "0:0.3,1:0.5"};
  everything.lazy.revival = {.mode = Revival::Mode::kAll};
  ways.push_back(everything);
  return ways;
}

// A sequence with its prompt and an answer that is given.
struct Sequence {
  Sequence(const Model& of_model, const Way& by, std::vector<int32_t> given, std::vector<int32_t> said)
      : model(of_model),
        way(by),
        prompt(std::move(given)),
        answer(std::move(said)),
        cache({.n_layers = model.config.n_layers,
               .n_kv_heads = model.config.n_kv_heads,
               .head_dim = model.config.head_dim,
               .d_model = model.config.d_model,
               .capacity_tokens = prompt.size() + answer.size() + 8,  // and some drafts
               .column_type = model.kernels->column_type}),
        schedule(*parse_schedule(way.schedule, model.config.n_layers, model.config.prunable_layers())),
        logits(model.config.n_vocab) {}

  // What comes next: the prompt, or the next token of the answer.
  SequenceStep step() {
    const size_t done = cache.n_tokens();
    const bool is_prompt = done == 0;
    if (is_prompt)
      voters = {static_cast<TokenIndex>(prompt.size() / 2), static_cast<TokenIndex>(prompt.size() - 1)};
    return {
        .cache = cache,
        .tokens = is_prompt ? std::span<const int32_t>(prompt)
                            : std::span<const int32_t>(answer).subspan(done - prompt.size(), 1),
        .plan = {.schedule = schedule,
                 .lazy = &way.lazy,
                 .prompt_end = prompt.size(),
                 .voters = is_prompt ? std::span<const TokenIndex>(voters) : std::span<const TokenIndex>()},
        .logits = logits};
  }

  void note(const SequenceStep& step) {
    if (!step.result) return;
    seen.insert(seen.end(), logits.begin(), logits.end());
    for (const StageTrace& stage : step.trace.stages) kept.push_back(stage.kept);
  }

  const Model& model;
  Way way;
  std::vector<int32_t> prompt;
  std::vector<int32_t> answer;
  SequenceCache cache;
  std::vector<ScheduleStage> schedule;
  std::vector<TokenIndex> voters;
  std::vector<float> logits;
  std::vector<float> seen;                 // all logits so far
  std::vector<std::vector<int32_t>> kept;  // of all stages so far
};

inline constexpr auto kAlways = [](const Progress& /*progress*/) { return true; };

// One step of all that are given, together.
inline void run_together(Workspace& workspace, const std::vector<Sequence*>& sequences) {
  std::vector<SequenceStep> steps;
  for (Sequence* sequence : sequences) steps.push_back(sequence->step());
  Step step(sequences[0]->model, steps);
  ASSERT_TRUE(step.advance(workspace, kAlways));
  for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->note(steps[i]);
}

class StepTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    model_ = std::make_unique<TestModel>(**kernels_for(GetParam()));
  }

  Sequence sequence(const Way& way, size_t n_tokens, uint32_t seed) const {
    return {model_->model, way, some_tokens(n_tokens, seed), some_tokens(kAnswer, seed + 1)};
  }

  // Of a sequence alone, on one thread.
  Sequence alone(const Way& way, size_t n_tokens, uint32_t seed) const {
    Sequence one = sequence(way, n_tokens, seed);
    Workspace workspace(1);
    for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&one});
    EXPECT_EQ(one.seen.size(), (kAnswer + 1) * one.logits.size());
    return one;
  }

  static void expect_same(const Sequence& one, const Sequence& expected) {
    ASSERT_EQ(one.kept, expected.kept);
    ASSERT_TRUE(one.seen == expected.seen) << one.prompt.size() << " tokens";
  }

  // The reference computes with scalars: shorter texts there.
  size_t longest() const { return GetParam() == "reference" ? 60 : 700; }

  std::unique_ptr<TestModel> model_;
};

}  // namespace lazyfill
