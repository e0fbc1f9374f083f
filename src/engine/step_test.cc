#include "engine/step.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/tiny_model_file.h"
#include "gguf/file.h"
#include "kernels/test_isa.h"
#include "pruning/policy.h"
#include "pruning/schedule.h"

// Equality is the backbone: what a sequence computes alone it computes, to the bit, in any company.
namespace lazyfill {
namespace {

constexpr TinyModelFile::Sizes kSizes{.n_layers = 6,
                                      .d_model = 128,
                                      .d_ff = 160,
                                      .n_heads = 4,
                                      .n_kv_heads = 2,
                                      .context_length = 2048,
                                      .q8 = true};
constexpr int32_t kPoison = 200;  // a token whose logits are no numbers
constexpr size_t kAnswer = 4;     // decode steps

std::vector<int32_t> some_tokens(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 190);
  return tokens;
}

// A model of six layers, two of them with a window, in a file that is gone with it.
struct TestModel {
  explicit TestModel(const Kernels& kernels) {
    path = testing::TempDir() + "step_test_" + std::to_string(getpid()) + ".gguf";
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

std::vector<Way> all_ways() {
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

constexpr auto kAlways = [](const Progress& /*progress*/) { return true; };

// One step of all that are given, together.
void run_together(Workspace& workspace, const std::vector<Sequence*>& sequences) {
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

TEST_P(StepTest, ASequenceHasTheSameBitsBesideOthers) {
  const size_t lengths[] = {1, 2, 5, 17, 40, longest() / 4 + 3, longest()};
  for (const Way& way : all_ways()) {
    SCOPED_TRACE(way.name);
    std::vector<Sequence> together;
    for (uint32_t i = 0; i < std::size(lengths); ++i) together.push_back(sequence(way, lengths[i], i));
    std::vector<Sequence*> all;
    for (Sequence& one : together) all.push_back(&one);
    Workspace workspace(2);
    for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, all);
    for (uint32_t i = 0; i < std::size(lengths); ++i) expect_same(together[i], alone(way, lengths[i], i));
  }
}

// Rows that share a choice of columns do so wherever the neighbours' rows make blocks end. Of the longer one
// the last 70 rows of the body are less than a whole choice, and the 96 before them leave out columns.
TEST_P(StepTest, SparseRowsShareAChoiceWhereverBlocksEnd) {
  Way way{"sparse"};
  way.lazy.attention_mass = 0.8F;
  const size_t n_tokens = 576 + 96 + 70 + 1;
  Sequence one = sequence(way, n_tokens, 14);
  Sequence neighbour = sequence({"dense"}, 10, 15);
  Workspace workspace(2);
  for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&neighbour, &one});
  expect_same(one, alone(way, n_tokens, 14));
}

TEST_P(StepTest, PromptsAndAnswersOfDifferentWaysGoTogether) {
  const std::vector<Way> ways = all_ways();
  std::vector<Sequence> together;
  for (uint32_t i = 0; i < ways.size(); ++i)
    together.push_back(sequence(ways[i], 10 + i * longest() / ways.size(), i));
  Workspace workspace(2);
  // Each begins a step later than the one before it.
  for (size_t round = 0; round < ways.size() + kAnswer; ++round) {
    std::vector<Sequence*> now;
    for (size_t i = 0; i < together.size(); ++i) {
      if (round >= i && round <= i + kAnswer) now.push_back(&together[i]);
    }
    run_together(workspace, now);
  }
  for (uint32_t i = 0; i < ways.size(); ++i)
    expect_same(together[i], alone(ways[i], together[i].prompt.size(), i));
}

TEST_P(StepTest, SixtyThreeNeighbours) {
  const Way way = all_ways()[1];
  std::vector<Sequence> together;
  for (uint32_t i = 0; i < 64; ++i) together.push_back(sequence(way, 1 + i * 7 % 53, i));
  std::vector<Sequence*> all;
  for (Sequence& one : together) all.push_back(&one);
  Workspace workspace(2);
  for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, all);
  for (uint32_t i : {0U, 1U, 31U, 63U}) expect_same(together[i], alone(way, together[i].prompt.size(), i));
}

// With two threads some blocks are taken by the one that does not ask.
TEST_P(StepTest, PutAsideAtEveryBlockWithAnotherStepBetween) {
  for (const Way& way : all_ways()) {
    for (size_t n_threads : {1, 2}) {
      SCOPED_TRACE(way.name + " on " + std::to_string(n_threads));
      Sequence one = sequence(way, longest(), 3);
      Sequence other = sequence(way, 30, 4);
      Workspace workspace(n_threads);
      std::vector<SequenceStep> steps = {one.step()};
      Step step(model_->model, steps);
      size_t n_times = 0;
      size_t asked = 0;
      while (!step.advance(workspace, [&](const Progress&) { return asked++ % 2 == 0; })) {
        if (++n_times % 3 == 1 && other.cache.n_tokens() < 30 + kAnswer) run_together(workspace, {&other});
      }
      one.note(steps[0]);
      if (n_threads == 1) {
        EXPECT_GE(n_times, kSizes.n_layers);
      }
      for (size_t i = 0; i < kAnswer; ++i) run_together(workspace, {&one});
      while (other.cache.n_tokens() < 30 + kAnswer) run_together(workspace, {&other});
      expect_same(one, alone(way, longest(), 3));
      expect_same(other, alone(way, 30, 4));
    }
  }
}

TEST_P(StepTest, AStepThatIsDroppedHalfWayLeavesNothing) {
  const Way way = all_ways()[1];
  Sequence one = sequence(way, longest(), 5);
  Workspace workspace(2);
  for (size_t n : {1, 2, 3, 6, 9}) {
    std::vector<SequenceStep> steps = {one.step()};
    Step step(model_->model, steps);
    size_t left = n;
    EXPECT_FALSE(step.advance(workspace, [&](const Progress&) { return --left > 0; }));
  }
  EXPECT_EQ(one.cache.n_tokens(), 0U);
  EXPECT_EQ(one.cache.kv_bytes(), 0U);
  EXPECT_EQ(one.cache.aux_bytes(), 0U);
  for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&one});
  expect_same(one, alone(way, longest(), 5));
}

TEST_P(StepTest, ASequenceThatFailsOrIsStoppedDoesNotTouchTheOthers) {
  for (const Way& way : {all_ways()[0], all_ways()[1]}) {
    SCOPED_TRACE(way.name);
    Sequence good = sequence(way, longest(), 6);
    Sequence stopped = sequence(way, longest() / 2, 7);
    Sequence bad = sequence(way, 20, 8);
    bad.prompt.back() = kPoison;
    Sequence other = sequence(way, 33, 9);
    std::vector<SequenceStep> steps = {bad.step(), good.step(), stopped.step(), other.step()};
    std::stop_source stop;
    steps[2].stop = stop.get_token();
    Workspace workspace(2);
    Step step(model_->model, steps);
    size_t asked = 0;
    ASSERT_TRUE(step.advance(workspace, [&](const Progress&) {
      if (++asked == 9) stop.request_stop();
      return true;
    }));
    EXPECT_EQ(steps[0].result.error().code, ErrorCode::kInvalidFile);
    EXPECT_EQ(steps[2].result.error().code, ErrorCode::kCancelled);
    for (const Sequence* gone : {&bad, &stopped}) {
      EXPECT_EQ(gone->cache.n_tokens(), 0U);
      EXPECT_EQ(gone->cache.kv_bytes(), 0U);
    }
    ASSERT_TRUE(steps[1].result && steps[3].result);
    good.note(steps[1]);
    other.note(steps[3]);
    for (size_t i = 0; i < kAnswer; ++i) run_together(workspace, {&good, &other});
    for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&stopped});
    expect_same(good, alone(way, longest(), 6));
    expect_same(stopped, alone(way, longest() / 2, 7));
    expect_same(other, alone(way, 33, 9));
  }
}

TEST_P(StepTest, WhenAllAreStoppedTheStepEndsAtTheNextBlock) {
  Sequence one = sequence(all_ways()[0], longest(), 10);
  std::vector<SequenceStep> steps = {one.step()};
  std::stop_source stop;
  steps[0].stop = stop.get_token();
  Workspace workspace(1);
  Step step(model_->model, steps);
  size_t asked = 0;
  EXPECT_TRUE(step.advance(workspace, [&](const Progress&) {
    if (++asked == 5) stop.request_stop();
    return true;
  }));
  EXPECT_EQ(asked, 5U);
  EXPECT_EQ(steps[0].result.error().code, ErrorCode::kCancelled);
}

TEST_P(StepTest, ThreadsDoNotMatter) {
  for (const Way& way : all_ways()) {
    SCOPED_TRACE(way.name);
    const Sequence expected = alone(way, longest(), 11);
    for (size_t n_threads : {2, 3, 7}) {
      Sequence one = sequence(way, longest(), 11);
      Workspace workspace(n_threads);
      for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&one});
      expect_same(one, expected);
    }
  }
}

// A tree of drafts: 0 -> 1 -> 3 and 0 -> 2 -> 4, of which the second branch is what the text goes on with.
TEST_P(StepTest, DraftsHaveTheBitsOfPlainSteps) {
  const int32_t parents[] = {-1, 0, 0, 1, 2};
  for (const Way& way : {all_ways()[0], all_ways().back()}) {
    SCOPED_TRACE(way.name);
    const bool is_dense = way.schedule == "off";
    Sequence plain = sequence(way, longest(), 12);
    Sequence drafted = sequence(way, longest(), 12);
    Workspace workspace(2);
    for (size_t i = 0; i <= 3; ++i) run_together(workspace, {&plain});
    run_together(workspace, {&drafted});

    const std::vector<int32_t>& said = drafted.answer;
    const std::vector<int32_t> tokens = {said[0], 77, said[1], 78, said[2]};
    const size_t n_vocab = drafted.logits.size();
    std::vector<float> logits(tokens.size() * n_vocab);
    std::vector<SequenceStep> steps = {drafted.step()};
    steps[0].tokens = tokens;
    steps[0].parents = parents;
    steps[0].logits = logits;
    steps[0].n_logit_rows = tokens.size();
    steps[0].commits_itself = true;
    Step step(model_->model, steps);
    ASSERT_TRUE(step.advance(workspace, kAlways));
    ASSERT_TRUE(steps[0].result);
    const size_t accepted[] = {0, 2, 4};
    drafted.cache.commit_step(tokens.size(), accepted);
    drafted.cache.save_for_revival(steps[0].saved_for_revival);
    EXPECT_EQ(drafted.cache.n_tokens(), longest() + 3);
    if (!is_dense) continue;  // there the step makes one choice for all its rows
    for (size_t i = 0; i < 3; ++i) {
      const auto row = logits.begin() + static_cast<std::ptrdiff_t>(accepted[i] * n_vocab);
      EXPECT_TRUE(std::equal(row, row + static_cast<std::ptrdiff_t>(n_vocab),
                             plain.seen.begin() + static_cast<std::ptrdiff_t>((i + 1) * n_vocab)))
          << "row " << i;
    }
    // Nothing is left of the branch that was not taken.
    run_together(workspace, {&plain});
    run_together(workspace, {&drafted});
    EXPECT_TRUE(plain.logits == drafted.logits);
    EXPECT_EQ(plain.cache.kv_bytes(), drafted.cache.kv_bytes());
  }
}

// A stream that forgets computes what a sequence with nothing but those tokens would see.
TEST_P(StepTest, AStreamGoesOnInBoundedMemory) {
  const Model& model = model_->model;
  SequenceCache cache({.n_layers = model.config.n_layers,
                       .n_kv_heads = model.config.n_kv_heads,
                       .head_dim = model.config.head_dim,
                       .d_model = model.config.d_model,
                       .capacity_tokens = 24,
                       .column_type = model.kernels->column_type,
                       .n_pinned = 4});
  const std::vector<int32_t> text = some_tokens(300, 13);
  std::vector<float> logits(model.config.n_vocab);
  Workspace workspace(1);
  uint64_t most_bytes = 0;
  for (int32_t token : text) {
    if (cache.n_held() == 24) cache.forget_oldest(1);
    std::vector<SequenceStep> steps = {
        {.cache = cache, .tokens = {&token, 1}, .plan = {.prompt_end = 0}, .logits = logits}};
    Step step(model, steps);
    ASSERT_TRUE(step.advance(workspace, kAlways));
    ASSERT_TRUE(steps[0].result);
    most_bytes = std::max(most_bytes, cache.kv_bytes());
  }
  EXPECT_EQ(cache.n_tokens(), 300U);
  EXPECT_EQ(cache.kv_bytes(), most_bytes);
  EXPECT_EQ(most_bytes, 24 * 6 * cache.columns(0).bytes_per_column());
}

// Tiles are for prompts of some length; what a few tokens give is what they give without.
TEST(StepOnTiles, AShortPromptIsReadWithoutThem) {
  if (!machine_supports("amx")) GTEST_SKIP() << "this machine lacks the instruction set";
  const auto answers_of = [](const char* isa, size_t n_tokens) {
    const TestModel model(**kernels_for(isa));
    Sequence one(model.model, {"dense"}, some_tokens(n_tokens, 3), some_tokens(kAnswer, 4));
    Workspace workspace(1);
    for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&one});
    return one.seen;
  };
  EXPECT_TRUE(answers_of("amx", 15) == answers_of("avx512", 15));
  EXPECT_FALSE(answers_of("amx", 16) == answers_of("avx512", 16));
}

INSTANTIATE_TEST_SUITE_P(Isas, StepTest, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
