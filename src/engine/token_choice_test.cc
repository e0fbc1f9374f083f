// How the tokens of an answer are chosen and what is told of them, by a session and by the scheduler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

using testing::HasSubstr;

GenerateOptions greedy(size_t n_tokens, SamplingOptions sampling) {
  sampling.temperature = 0;
  return {.max_tokens = n_tokens, .sampling = std::move(sampling), .stop_at_end_token = false};
}

Generation answer(const GenerateOptions& options, const Callbacks& callbacks = {}) {
  auto session = tiny_engine().start_session({.lazy = kDense});
  EXPECT_TRUE(session);
  auto generation = session->generate(some_tokens(20, 1), options, callbacks);
  EXPECT_TRUE(generation) << generation.error().message;
  return generation.value_or(Generation{});
}

size_t n_different(const std::vector<int32_t>& ids) {
  return std::set<int32_t>(ids.begin(), ids.end()).size();
}

TEST(TokenChoice, ABiasDecides) {
  const Generation forced = answer(greedy(5, {.logit_bias = {{77, 1000}}}));
  EXPECT_EQ(forced.token_ids, std::vector<int32_t>(5, 77));
  const int32_t likeliest = answer(greedy(1, {})).token_ids.at(0);
  EXPECT_NE(answer(greedy(1, {.logit_bias = {{likeliest, -100}}})).token_ids.at(0), likeliest);
}

TEST(TokenChoice, PenaltiesSeeTheAnswerAsItGrows) {
  const size_t n = 40;
  const Generation plain = answer(greedy(n, {.logit_bias = {{77, 1000}}}));
  EXPECT_EQ(n_different(plain.token_ids), 1U);
  const Generation varied = answer(greedy(n, {.presence_penalty = 100}));
  EXPECT_EQ(n_different(varied.token_ids), n);
}

// The prompt's tokens are only the repeat penalty's business.
TEST(TokenChoice, ThePromptCountsForTheRepeatPenaltyAlone) {
  const std::vector<int32_t> prompt = some_tokens(20, 1);
  const SamplingOptions wanted{.logit_bias = {{prompt[3], 50}}};
  const auto first = [&](SamplingOptions sampling) {
    return answer(greedy(1, std::move(sampling))).token_ids.at(0);
  };
  ASSERT_EQ(first(wanted), prompt[3]);
  SamplingOptions present = wanted;
  present.presence_penalty = 100;
  EXPECT_EQ(first(present), prompt[3]);
  SamplingOptions repeated = wanted;
  repeated.repeat_penalty = 100;
  EXPECT_NE(first(repeated), prompt[3]);
}

TEST(TokenChoice, LogprobsAreTheModelsOwn) {
  const GenerateOptions plain = greedy(6, {});
  GenerateOptions with_top = plain;
  with_top.n_top_logprobs = 2;
  GenerateOptions with_own = plain;
  with_own.with_logprobs = true;
  const Generation quiet = answer(plain);
  const Generation own = answer(with_own);
  const Generation top = answer(with_top);
  EXPECT_TRUE(quiet.token_logprobs.empty());
  EXPECT_TRUE(own.top_logprobs.empty());
  ASSERT_EQ(own.token_logprobs.size(), 6U);
  EXPECT_EQ(own.token_logprobs, top.token_logprobs);
  EXPECT_EQ(own.token_ids, quiet.token_ids);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(top.top_logprobs[i][0].id, top.token_ids[i]);  // greedy
    EXPECT_EQ(top.top_logprobs[i][0].logprob, top.token_logprobs[i]);
  }
  // A bias chooses another token, and changes nothing of what is told.
  GenerateOptions biased = with_top;
  biased.max_tokens = 1;
  biased.sampling.logit_bias = {{77, 1000}};
  const Generation other = answer(biased);
  EXPECT_EQ(other.token_ids.at(0), 77);
  EXPECT_EQ(other.top_logprobs[0][0].logprob, top.top_logprobs[0][0].logprob);
  EXPECT_LT(other.token_logprobs[0], other.top_logprobs[0][1].logprob);
}

TEST(TokenChoice, LogprobsComeBeforeTheirToken) {
  std::vector<std::string> events;
  std::vector<float> logprobs;
  Callbacks callbacks;
  callbacks.on_logprobs = [&](TokenLogprob chosen, std::span<const TokenLogprob> top) {
    events.push_back("logprob " + std::to_string(chosen.id) + " of " + std::to_string(top.size()));
    logprobs.push_back(chosen.logprob);
  };
  callbacks.on_token = [&](int32_t id, std::string_view) {
    events.push_back("token " + std::to_string(id));
    return true;
  };
  GenerateOptions options = greedy(2, {});
  options.n_top_logprobs = 3;
  const Generation generation = answer(options, callbacks);
  const std::string a = std::to_string(generation.token_ids.at(0));
  const std::string b = std::to_string(generation.token_ids.at(1));
  ASSERT_GE(events.size(), 4U);
  events.resize(4);  // the rest of the text may come with another call
  EXPECT_THAT(events, testing::ElementsAre("logprob " + a + " of 3", "token " + a, "logprob " + b + " of 3",
                                           "token " + b));
  EXPECT_EQ(logprobs, generation.token_logprobs);
  events.clear();
  options.n_top_logprobs = 0;
  answer(options, callbacks);
  EXPECT_THAT(events, testing::Each(testing::StartsWith("token")));  // nobody asked for log-probabilities
}

TEST(TokenChoice, AnEndTokenHasALogprobAndNoCall) {
  const int32_t likeliest = answer(greedy(1, {})).token_ids.at(0);
  GenerateOptions options = greedy(3, {});
  options.with_logprobs = true;
  size_t n_calls = 0;
  Callbacks callbacks;
  callbacks.on_logprobs = [&](TokenLogprob, std::span<const TokenLogprob>) { ++n_calls; };
  options.stop_at_end_token = true;
  // The tiny model's end token.
  int32_t end = -1;
  for (int32_t id = 0; id < static_cast<int32_t>(tiny_engine().info().n_tokens) && end < 0; ++id) {
    options.sampling.logit_bias = {{id, 1000}};
    options.max_tokens = 1;
    if (id != likeliest && answer(options).token_ids.empty()) end = id;
  }
  ASSERT_GE(end, 0);
  options.sampling.logit_bias = {{end, 1000}};
  const Generation ended = answer(options, callbacks);
  EXPECT_TRUE(ended.token_ids.empty());
  EXPECT_EQ(ended.token_logprobs.size(), 1U);
  EXPECT_EQ(n_calls, 0U);
}

TEST(TokenChoice, SmallStepsAndTheSchedulerChooseAlike) {
  const SamplingOptions sampling{.temperature = 2,
                                 .top_k = 0,
                                 .seed = 9,
                                 .repeat_penalty = 1.3F,
                                 .repeat_last_n = -1,
                                 .presence_penalty = 0.4F,
                                 .frequency_penalty = 0.2F,
                                 .dry_multiplier = 0.8F,
                                 .logit_bias = {{5, -100}, {9, 2}}};
  Request request{.tokens = some_tokens(20, 1),
                  .options = {.max_tokens = 24, .sampling = sampling, .stop_at_end_token = false},
                  .lazy = kDense,
                  .cache_prompt = false};
  request.options.n_top_logprobs = 1;
  const Generation whole = answer(request.options);
  auto session = tiny_engine().start_session({.lazy = kDense});
  ASSERT_TRUE(session);
  ASSERT_TRUE(session->append(request.tokens));
  std::vector<int32_t> ids;
  for (int i = 0; i < 24; ++i) {
    ASSERT_TRUE(session->step());
    ids.push_back(session->sample(sampling).value_or(-1));
  }
  EXPECT_EQ(ids, whole.token_ids);
  auto scheduler = Scheduler::start(tiny_engine(), {});
  ASSERT_TRUE(scheduler);
  const auto scheduled = scheduler->generate(request);
  ASSERT_TRUE(scheduled);
  EXPECT_EQ(scheduled->token_ids, whole.token_ids);
  EXPECT_EQ(scheduled->token_logprobs, whole.token_logprobs);
}

TEST(TokenChoice, WrongOptionsAreRefusedEverywhereAndChangeNothing) {
  const SamplingOptions wrong{.logit_bias = {{100000, 1}}};
  auto session = tiny_engine().start_session({.lazy = kDense});
  ASSERT_TRUE(session);
  const auto generated = session->generate(some_tokens(5, 1), {.sampling = wrong}, {});
  ASSERT_FALSE(generated);
  EXPECT_THAT(generated.error().message, HasSubstr("logit_bias names the token id 100000"));
  EXPECT_TRUE(session->tokens().empty());
  ASSERT_TRUE(session->append(some_tokens(5, 1)));
  ASSERT_TRUE(session->step());
  EXPECT_FALSE(session->sample(wrong));
  EXPECT_FALSE(session->sample({.top_p = 2}));
  EXPECT_EQ(session->tokens().size(), 5U);
  EXPECT_TRUE(session->sample({}));
  auto scheduler = Scheduler::start(tiny_engine(), {});
  ASSERT_TRUE(scheduler);
  const auto submitted =
      scheduler->submit(Request{.tokens = some_tokens(5, 1), .options = {.sampling = wrong}});
  ASSERT_FALSE(submitted);
  EXPECT_EQ(submitted.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace lazyfill
