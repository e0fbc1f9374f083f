// What an hour does to a scheduler, in some seconds: random arrivals, cancellations, failures and evictions
// at the memory bound. LAZYFILL_SOAK_SECONDS=3600 makes it the hour, LAZYFILL_SOAK_SEED another one.
#include "engine/soak.h"

namespace lazyfill {

void Soak::collect() {
  std::deque<std::shared_ptr<Sent>> ended;
  {
    const std::scoped_lock lock(mutex_);
    ended.swap(ended_);
  }
  for (const auto& sent : ended) {
    std::erase(in_flight_, sent);
    check(*sent);
  }
}

std::string Soak::description_of(const Sent& sent) {
  const Request& request = sent.request;
  std::string text = request.lazy.schedule + " policy " +
                     std::to_string(static_cast<int>(request.lazy.policy.value_or(Policy::kEnd))) + ", " +
                     std::to_string(request.tokens.size()) + " tokens, " +
                     std::to_string(request.n_dense_tokens) + " dense";
  if (!sent.result) return text + ": " + sent.result.error().message + "\n";
  return text + ": " + std::to_string(sent.result->prefix.n_cached_tokens) + " found, " +
         std::to_string(sent.result->token_ids.size()) + " of " + std::to_string(request.options.max_tokens) +
         " answered\n";
}

void Soak::check(Sent& sent) {
  if (sent.conversation != SIZE_MAX) {
    conversations_[sent.conversation].is_asked = false;
    conversations_[sent.conversation].log += description_of(sent);
  }
  SCOPED_TRACE(sent.conversation != SIZE_MAX ? conversations_[sent.conversation].log : description_of(sent));
  if (!sent.result) {
    const ErrorCode code = sent.result.error().code;
    ++(code == ErrorCode::kCancelled ? n_cancelled_ : n_failed_);
    if (code == ErrorCode::kCancelled) {
      EXPECT_TRUE(sent.is_stopped || sent.stop_at_block > 0);
      // What was stopped in a layer is gone on with there, with columns that were rounded; no session does
      // so.
      if (sent.conversation != SIZE_MAX) conversations_[sent.conversation].n_turns_left = 0;
    } else {
      EXPECT_TRUE(sent.is_poisoned) << sent.result.error().message;
      EXPECT_EQ(code, ErrorCode::kInvalidFile);
    }
    return;
  }
  EXPECT_FALSE(sent.is_poisoned);
  const bool is_partial = sent.result->finish_reason == FinishReason::kCancelled;
  ++(is_partial ? n_partial_ : n_whole_);
  if (is_partial) {
    EXPECT_TRUE(sent.is_stopped || sent.stop_at_token > 0 || sent.stop_at_block > 0);
  }
  check_answer(sent);
}

void Soak::check_answer(Sent& sent) {
  const Generation& got = *sent.result;
  if (sent.is_shared) {
    EXPECT_LT(got.prefix.n_cached_tokens, sent.request.tokens.size());
    EXPECT_LE(got.token_ids.size(), sent.request.options.max_tokens);
    return;
  }
  if (sent.conversation == SIZE_MAX) {
    EXPECT_EQ(got.prefix.n_cached_tokens, 0U);
    Session session = *executor_->start_session({.lazy = sent.request.lazy});
    expect_same_bits(got, expected_of(session, sent));
    return;
  }
  Conversation& conversation = conversations_[sent.conversation];
  if (conversation.tokens.size() > conversation.n_dense)
    ++(got.prefix.n_cached_tokens > 0 ? n_cached_ : n_forgotten_);
  expect_same_bits(got, expected_of(*conversation.alone, sent));
  conversation.tokens = sent.request.tokens;
  conversation.tokens.insert(conversation.tokens.end(), got.token_ids.begin(), got.token_ids.end());
  --conversation.n_turns_left;
}

// What a session says that takes back as many tokens as the scheduler found. What was stopped is compared as
// far as it came.
Generation Soak::expected_of(Session& session, const Sent& sent) {
  const Request& request = sent.request;
  const Generation& got = *sent.result;
  const std::span<const int32_t> tokens = request.tokens;
  const bool is_dense = request.lazy.schedule == kDense.schedule;
  const size_t n_dense = is_dense ? 0 : std::min(request.n_dense_tokens, tokens.size() - 1);
  const size_t n_cached = got.prefix.n_cached_tokens;
  size_t n_computed = std::min(n_cached, session.tokens().size());
  EXPECT_TRUE(session.rewind(n_computed));
  // Also what a request left that was stopped behind its dense part: no session has answered it.
  const size_t end = std::max(n_dense, n_cached);
  if (n_computed < end) {
    EXPECT_LE(end, n_dense);
    EXPECT_TRUE(session.set_lazy(kDense));
    EXPECT_TRUE(session.append(tokens.subspan(n_computed, end - n_computed)));
    EXPECT_TRUE(session.step());
    EXPECT_TRUE(session.set_lazy(request.lazy));
    n_computed = end;
  }
  GenerateOptions options = request.options;
  options.draft = Draft::kNone;
  const bool is_partial = got.finish_reason == FinishReason::kCancelled;
  if (is_partial) options.max_tokens = got.token_ids.size();
  auto answer = session.generate(tokens.subspan(n_computed), options, {});
  EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
  if (!answer) return {};
  if (is_partial) {
    answer->finish_reason = FinishReason::kCancelled;
    answer->text = got.text;  // may end before a character that is not whole
  }
  return std::move(*answer);
}

void Soak::check_status() {
  const SchedulerStatus status = scheduler_->status();
  EXPECT_LE(status.n_queued, kMaxQueue);
  EXPECT_LE(status.n_prefilling + status.n_decoding, kMaxSequences);
  EXPECT_LE(status.prefix_bytes + status.kv_reserved_bytes, kMemoryBytes);
}

void Soak::run_for(double seconds) {
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end && !HasFailure()) {
    std::vector<std::shared_ptr<Sent>> all;
    for (size_t n = one_in(4) ? any(2, 5) : 1; n > 0; --n) all.push_back(anything());
    send(all);
    if (!in_flight_.empty() && one_in(15)) {
      Sent& sent = *in_flight_[any(0, in_flight_.size() - 1)];
      sent.is_stopped = true;
      sent.stop.request_stop();
    }
    check_status();
    {
      std::unique_lock lock(mutex_);
      if (in_flight_.size() >= any(3, kMostInFlight)) changed_.wait(lock, [&] { return !ended_.empty(); });
    }
    if (one_in(3)) std::this_thread::sleep_for(std::chrono::microseconds(any(0, 4000)));
    collect();
  }
}

void Soak::wait_for_the_end() {
  while (!in_flight_.empty()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !ended_.empty(); });
    }
    collect();
  }
  // The status is that of the turn before.
  SchedulerStatus status = scheduler_->status();
  while (status.n_ended < n_taken_ || status.kv_reserved_bytes > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    status = scheduler_->status();
  }
  EXPECT_EQ(status.n_ended, n_taken_);
  EXPECT_EQ(status.n_queued + status.n_prefilling + status.n_decoding, 0U);
}

TEST_P(Soak, NothingIsLostAndNothingLeaks) {
  const auto seconds = static_cast<double>(number_from_environment("LAZYFILL_SOAK_SECONDS", 6)) / 3;
  run_for(seconds / 10);
  const double early_mib = resident_mib();
  run_for(seconds * 9 / 10);
  const double late_mib = resident_mib();
  wait_for_the_end();
  std::printf(
      "%lu taken: %lu answered, %lu in part, %lu cancelled, %lu failed; %lu found a full queue, %lu were too "
      "large; turns of conversations: %lu found what was kept, %lu nothing; resident %.1f MiB, then %.1f\n",
      n_taken_, n_whole_, n_partial_, n_cancelled_, n_failed_, n_busy_, n_too_large_, n_cached_, n_forgotten_,
      early_mib, late_mib);
  EXPECT_EQ(n_whole_ + n_partial_ + n_cancelled_ + n_failed_, n_taken_);
  for (uint64_t n : {n_whole_, n_partial_, n_cancelled_, n_failed_, n_cached_}) EXPECT_GT(n, 0U);
  // In a few seconds the heap has not seen its largest moment yet.
  if (seconds >= 60 && !kIsSanitized) {
    EXPECT_LT(late_mib, 1.05 * early_mib);
  }
}

// "What is not finished ends with kCancelled": once each.
TEST_P(Soak, TheEndComesInTheMiddle) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::shared_ptr<Sent>> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(make(any_tokens(any(1, 100)), ways_[any(0, ways_.size() - 1)]));
      send({all.back()});
    }
    std::this_thread::sleep_for(std::chrono::microseconds(any(0, 3000)));
    start_scheduler();
    for (const auto& sent : all) EXPECT_EQ(sent->n_ends, 1);
    in_flight_.clear();
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Soak,
                         testing::Values(Kind{"as_computed", KvType::kAsComputed}, Kind{"q8", KvType::kQ8},
                                         Kind{"state_folder", KvType::kAsComputed, true}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace lazyfill
