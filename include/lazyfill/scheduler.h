// Many requests over one engine: who computes when.
//
//   auto scheduler = lazyfill::Scheduler::start(*engine, {});
//   auto answer = scheduler->generate({.tokens = *engine->tokenize(text)});   // any number of threads at
//   once
//
// Answers are written together, a token each a step; prompts are computed in turns between those steps, and
// short ones overtake long ones. docs/scheduling.md says who waits for whom. What a request computes does not
// depend on the others: its answer is that of a Session alone, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

struct SchedulerOptions {
  size_t n_threads = 0;       // 0: as many as the engine was loaded with
  size_t context_tokens = 0;  // of each request, its answer included; 0: the model's
  size_t max_sequences = 16;  // requests that are computed at a time; the others wait
  size_t max_queue = 64;      // requests that may wait; one more is refused
  double turn_ms = 50;        // what prompts may take between two tokens of those that are being answered
  // Columns and states of all requests at a time, and of those that have ended and are kept for others that
  // begin alike; 0: half of the memory that the machine has free.
  uint64_t kv_memory_bytes = 0;
  // A folder where requests that have ended are kept for the next scheduler: those that leave the memory, and
  // those that are there at the end. Empty: none. The oldest leave where they take more than state_bytes.
  std::string state_folder;
  uint64_t state_bytes = uint64_t{4} << 30;
  // Prompts that wait are computed together as long as they have so many tokens in all; 0: never.
  size_t pack_tokens = 1024;
  // For comparison: prompts that are computed together are all made as long as the longest of them, as
  // engines without packing do, and all that wait are computed together.
  bool pad_prompts = false;
};

struct Request {
  std::vector<int32_t> tokens;  // the prompt
  GenerateOptions options = {};
  LazyOptions lazy = {};  // of a policy by which rows leave; the rivals (policies.h) need a Session
  // A prompt and an answer of any length. What is held must fit into context_tokens. It shares nothing with
  // others: cache_prompt and n_dense_tokens do not count.
  std::optional<StreamOptions> stream = {};
  int priority = 0;  // higher ones go first
  // Takes what requests before it have computed of the same first tokens, and leaves what it computes to
  // those after it. Columns are kept rounded, so its bits may differ from those that it has alone.
  bool cache_prompt = true;
  std::string cache_salt;  // only requests with the same one share anything
  // The first so many tokens, the part of a conversation that stays (system message, tools), are computed by
  // the whole model and leave the cache last.
  size_t n_dense_tokens = 0;
  // Called from the scheduler's thread, which computes nothing meanwhile.
  Callbacks callbacks = {};
  // When it is admitted, before anything is computed: what was found of its prompt.
  std::function<void(const PrefixReport&)> on_start = {};
  // At the end, exactly once, from the same thread, but not where submit() gave an error. kCancelled where it
  // was stopped before its first token, and after it a Generation that says so.
  std::function<void(Result<Generation>)> on_end = {};
};

struct SchedulerStatus {
  size_t n_queued = 0;
  size_t n_prefilling = 0;          // prompts that are admitted and not computed to their end
  size_t n_decoding = 0;            // answers that are being written
  uint64_t kv_reserved_bytes = 0;   // for those
  uint64_t kv_memory_bytes = 0;     // the bound
  uint64_t n_ended = 0;             // requests since the start, however they ended
  uint64_t n_prompt_tokens = 0;     // computed since the start
  uint64_t n_generated_tokens = 0;  // likewise
  uint64_t n_cached_tokens = 0;     // of prompts, that need not be computed
  uint64_t prefix_bytes = 0;        // of requests that have ended and are kept
};

// Any thread may call it.
class Scheduler {
 public:
  static Result<Scheduler> start(const Engine& engine, const SchedulerOptions& options);
  // With the threads of this executor, whose sessions wait for its steps and it for theirs; n_threads does
  // not count.
  static Result<Scheduler> start(const Executor& executor, const SchedulerOptions& options);
  Scheduler(Scheduler&&) noexcept;
  Scheduler& operator=(Scheduler&&) noexcept;
  ~Scheduler();  // what is not finished ends with kCancelled

  const Engine& engine() const;

  // Queues a request. Errors, at once: no token or no such token, more tokens than the context or the memory
  // holds, a schedule that does not fit the model, kBusy where the queue is full.
  Result<void> submit(Request request);
  // Several at once: all of them, or none.
  Result<void> submit(std::vector<Request> requests);
  // The same, and waits for the end; on_end is left alone.
  Result<Generation> generate(Request request);

  SchedulerStatus status() const;
  // What went wrong with files of the state folder, a sentence each: they are not used. The latest calls'
  // too.
  std::vector<std::string> notes() const;

 private:
  struct Impl;
  explicit Scheduler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lazyfill
