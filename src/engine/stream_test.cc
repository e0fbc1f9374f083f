// Streams: what is computed is in test_stream.py; here is that it has the same bits in any company, that it
// does not grow, and what a session does when it cannot go back.
#include "engine/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/step_fixture.h"
#include "lazyfill/engine.h"

namespace lazyfill {
namespace {

// A text that is read in steps of these many tokens, and then token by token.
struct Reading {
  Reading(const Model& of_model, std::vector<int32_t> all, std::vector<size_t> sizes)
      : model(of_model),
        text(std::move(all)),
        steps(std::move(sizes)),
        cache({.n_layers = model.config.n_layers,
               .n_kv_heads = model.config.n_kv_heads,
               .head_dim = model.config.head_dim,
               .d_model = model.config.d_model,
               .capacity_tokens = 4 + 48 - 1 + 300,
               .column_type = model.kernels->column_type,
               .n_pinned = 4,
               .window_tokens = 48}),
        logits(model.config.n_vocab) {}

  bool is_done() const { return cache.n_tokens() == text.size(); }
  SequenceStep step() {
    forget_unseen(cache);
    const size_t n = n_steps < steps.size() ? steps[n_steps] : 1;
    ++n_steps;
    return {.cache = cache,
            .tokens = std::span<const int32_t>(text).subspan(cache.n_tokens(), n),
            .plan = {.prompt_end = 400},
            .logits = logits};
  }

  const Model& model;
  std::vector<int32_t> text;
  std::vector<size_t> steps;
  SequenceCache cache;
  std::vector<float> logits;
  size_t n_steps = 0;
  std::vector<float> seen;
};

class StreamStepTest : public StepTest {
 protected:
  Reading reading(uint32_t seed) const {
    return {model_->model, some_tokens(430, seed), {300, 57, 1, 9, 3, 40, 2}};
  }

  // Each step of all of them together, put aside whenever `keep_going` says so.
  template <class Fn>
  static void read(size_t n_threads, std::vector<Reading*> readings, Fn keep_going) {
    Workspace workspace(n_threads);
    while (!readings[0]->is_done()) {
      std::vector<SequenceStep> steps;
      for (Reading* reading : readings) steps.push_back(reading->step());
      Step step(readings[0]->model, steps);
      while (!step.advance(workspace, keep_going)) {
      }
      for (size_t i = 0; i < readings.size(); ++i) {
        ASSERT_TRUE(steps[i].result);
        readings[i]->seen.insert(readings[i]->seen.end(), readings[i]->logits.begin(),
                                 readings[i]->logits.end());
      }
    }
  }
};

TEST_P(StreamStepTest, HasTheSameBitsInAnyCompany) {
  Reading alone = reading(1);
  read(1, {&alone}, kAlways);
  ASSERT_EQ(alone.seen.size(), alone.n_steps * alone.logits.size());
  for (size_t n_threads : {2, 5}) {
    SCOPED_TRACE(n_threads);
    Reading one = reading(1);
    Reading two = reading(2);
    Reading other = reading(3);
    other.steps = {7, 200, 1, 100, 33};
    read(n_threads, {&one, &other, &two}, kAlways);
    EXPECT_TRUE(one.seen == alone.seen);
  }
}

TEST_P(StreamStepTest, HasTheSameBitsWhenItIsPutAside) {
  Reading alone = reading(1);
  read(1, {&alone}, kAlways);
  Reading one = reading(1);
  size_t n_asked = 0;
  read(2, {&one}, [&](const Progress&) { return ++n_asked % 3 != 0; });
  EXPECT_TRUE(one.seen == alone.seen);
  EXPECT_GT(n_asked, 100U);
}

INSTANTIATE_TEST_SUITE_P(Isas, StreamStepTest, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
