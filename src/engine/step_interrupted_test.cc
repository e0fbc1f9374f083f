// Steps that are put aside, dropped half-way, stopped, and steps in which a sequence fails.
#include <gtest/gtest.h>

#include <stop_token>

#include "engine/step_fixture.h"

namespace lazyfill {
namespace {

class InterruptedStep : public StepTest {};

// With two threads some blocks are taken by the one that does not ask.
TEST_P(InterruptedStep, PutAsideAtEveryBlockWithAnotherStepBetween) {
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

TEST_P(InterruptedStep, AStepThatIsDroppedHalfWayLeavesNothing) {
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

TEST_P(InterruptedStep, ASequenceThatFailsOrIsStoppedDoesNotTouchTheOthers) {
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

TEST_P(InterruptedStep, WhenAllAreStoppedTheStepEndsAtTheNextBlock) {
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

INSTANTIATE_TEST_SUITE_P(Isas, InterruptedStep, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
