// Steps over one and over many sequences, with drafts and in a stream that forgets.
#include "engine/step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/logits.h"
#include "engine/step_fixture.h"

namespace lazyfill {
namespace {

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

// Any tree at the borders of tiles and pieces, of which some way is accepted.
TEST_P(StepTest, ATreeOfDraftsHasTheBitsOfPlainSteps) {
  std::mt19937 random(7);
  std::vector<size_t> lengths = {1, 38, 39, 40, 63, 64, 65};
  if (longest() > 100) lengths.insert(lengths.end(), {100, 255, 256, 257, 639, 640, 641, 700});
  for (size_t n_prompt : lengths) {
    SCOPED_TRACE(n_prompt);
    Sequence plain = sequence({"dense"}, n_prompt, 12);
    Sequence drafted = sequence({"dense"}, n_prompt, 12);
    drafted.cache = SequenceCache({.n_layers = kSizes.n_layers,
                                   .n_kv_heads = kSizes.n_kv_heads,
                                   .head_dim = kSizes.d_model / kSizes.n_heads,
                                   .d_model = kSizes.d_model,
                                   .capacity_tokens = n_prompt + 40,
                                   .column_type = model_->model.kernels->column_type});
    Workspace workspace(2);
    for (size_t i = 0; i <= kAnswer; ++i) run_together(workspace, {&plain});
    run_together(workspace, {&drafted});
    // The answer but for its last token lies on one way through the tree; one of the others has a token that
    // is no numbers.
    std::vector<int32_t> tokens = {drafted.answer[0]};
    std::vector<int32_t> parents = {-1};
    std::vector<size_t> accepted = {0};
    while (tokens.size() < 30) {
      const bool is_next = accepted.size() + 1 < kAnswer && random() % 6 == 0;
      parents.push_back(static_cast<int32_t>(is_next ? accepted.back() : random() % tokens.size()));
      if (is_next) accepted.push_back(tokens.size());
      const auto other = static_cast<int32_t>(190 + random() % 9);
      tokens.push_back(is_next ? drafted.answer[accepted.size() - 1] : other);
    }
    tokens.push_back(kPoison);
    parents.push_back(0);
    const size_t n_vocab = drafted.logits.size();
    std::vector<float> logits(tokens.size() * n_vocab);
    SequenceStep step = drafted.step();
    step.tokens = tokens;
    step.parents = parents;
    step.logits = logits;
    step.n_logit_rows = tokens.size();
    step.commits_itself = true;
    ASSERT_TRUE(Step(model_->model, {&step, 1}).advance(workspace, kAlways));
    ASSERT_TRUE(step.result);
    const auto logits_of = [&](size_t row) { return std::span(logits).subspan(row * n_vocab, n_vocab); };
    for (size_t i = 0; i < accepted.size(); ++i)
      EXPECT_TRUE(std::ranges::equal(logits_of(accepted[i]),
                                     std::span(plain.seen).subspan((i + 1) * n_vocab, n_vocab)));
    EXPECT_FALSE(all_finite(logits_of(30)));
    drafted.cache.commit_step(tokens.size(), accepted);
    while (drafted.cache.n_tokens() < n_prompt + kAnswer) run_together(workspace, {&drafted});
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
