// What docs/scheduling.md says, sentence by sentence.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

// "Everybody who is being answered gets the next token before prompts go on."
TEST(Scheduler, ALongPromptStopsNobody) {
  Journal journal;
  Scheduler scheduler = scheduler_of({.n_threads = 1, .turn_ms = 0.001});
  Request answered = request_of(5, 1, 300);
  ASSERT_TRUE(scheduler.submit(journal.of("answered", answered)));
  journal.wait_for("+answered", 3);
  ASSERT_TRUE(scheduler.submit(journal.of("long", request_of(500, 2, 1))));
  journal.wait_for("+long");
  size_t n_before = 0;
  for (const std::string& event : journal.events()) {
    if (event == "+long") break;
    n_before += event == "+answered" ? 1 : 0;
  }
  EXPECT_GT(n_before, 20U);  // one for each turn of the long prompt
}

// "An arrival ends a prompt's turn at the next block of rows."
TEST(Scheduler, AnArrivalEndsATurn) {
  Journal journal;
  Gate gate;
  std::atomic<size_t> n_blocks_after{0};
  Scheduler scheduler = scheduler_of({.n_threads = 1, .turn_ms = 1e6});
  Request prompt = journal.of("long", request_of(500, 1, 1));
  prompt.callbacks.on_progress = [&](const Progress&) {
    gate.pass();
    if (journal.count("+short") == 0) ++n_blocks_after;
  };
  ASSERT_TRUE(scheduler.submit(std::move(prompt)));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("short", request_of(9, 2, 1))));
  gate.open();
  journal.wait_for(".long");
  EXPECT_LE(n_blocks_after, 2U);  // the one that was held, and the question whether to take the next
}

// "A short prompt overtakes a long one, but every fourth turn is the oldest prompt's."
TEST(Scheduler, AShortPromptOvertakes) {
  Journal journal;
  Gate gate;
  Scheduler scheduler = scheduler_of();
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("long", request_of(500, 1, 2)))));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("short", request_of(9, 2, 2))));
  gate.open();
  journal.wait_for(".long");
  EXPECT_LT(journal.first("+short"), journal.first("+long"));
}

// The second half of that.
TEST(Scheduler, ALongPromptEndsHoweverManyShortOnesCome) {
  std::atomic<bool> is_over{false};
  Journal journal;
  // Each short one asks for the next when it ends, so that there is always one.
  std::optional<Scheduler> scheduler(scheduler_of({.turn_ms = 0.001, .pack_tokens = 0}));
  std::function<void(int)> ask_another = [&](int i) {
    if (is_over) return;
    Request request = request_of(40, static_cast<uint32_t>(i), 1);
    request.on_end = [&, i](const Result<Generation>&) { ask_another(i + 1); };
    EXPECT_TRUE(scheduler->submit(std::move(request)));
  };
  ask_another(0);
  ask_another(100000);
  ASSERT_TRUE(scheduler->submit(journal.of("long", request_of(500, 1, 1))));
  journal.wait_for(".long");
  is_over = true;
  scheduler.reset();
}

// "A request of a higher priority goes first."
TEST(Scheduler, PriorityGoesFirst) {
  Journal journal;
  Gate gate;
  Scheduler scheduler = scheduler_of({.max_sequences = 1});
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("now", request_of(9, 1)))));
  gate.wait_until_reached();
  Request later = request_of(9, 2);
  ASSERT_TRUE(scheduler.submit(journal.of("later", later)));
  Request urgent = request_of(300, 3);
  urgent.priority = 1;
  ASSERT_TRUE(scheduler.submit(journal.of("urgent", urgent)));
  gate.open();
  journal.wait_for(".later");
  EXPECT_LT(journal.first(".urgent"), journal.first("+later"));
}

// "The queue has an end, and who comes when it is full is told at once."
TEST(Scheduler, AFullQueueRefuses) {
  Journal journal;
  Gate gate;
  Scheduler scheduler = scheduler_of({.max_sequences = 1, .max_queue = 2});
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("now", request_of(9, 1)))));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("second", request_of(9, 2))));
  ASSERT_TRUE(scheduler.submit(journal.of("third", request_of(9, 3))));
  const auto refused = scheduler.submit(journal.of("fourth", request_of(9, 4)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_NE(refused.error().message.find("--queue"), std::string::npos);
  EXPECT_EQ(scheduler.status().n_queued, 2U);
  gate.open();
  journal.wait_for(".third");
  EXPECT_EQ(journal.count(".fourth"), 0U);
  EXPECT_TRUE(scheduler.generate(request_of(9, 5)));
}

// "A request is admitted when there is room for its prompt and all of its answer."
TEST(Scheduler, MemoryIsReservedBeforeAnythingIsComputed) {
  const uint64_t one = [] {
    Gate gate;
    Scheduler scheduler = scheduler_of();
    Request request = request_of(100, 1, 50);
    request.callbacks.on_token = [&, n = 0](int32_t, std::string_view) mutable {
      if (++n == 3) gate.pass();
      return true;
    };
    EXPECT_TRUE(scheduler.submit(request));
    gate.wait_until_reached();
    const uint64_t reserved = scheduler.status().kv_reserved_bytes;
    gate.open();
    return reserved;
  }();
  ASSERT_GT(one, 0U);
  Journal journal;
  Gate gate;
  Scheduler scheduler = scheduler_of({.kv_memory_bytes = 2 * one});
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("a", request_of(100, 1, 50)))));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("b", request_of(100, 2, 50))));
  ASSERT_TRUE(scheduler.submit(journal.of("c", request_of(100, 3, 50))));
  gate.open();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(journal.result(name)) << name;
  EXPECT_GT(journal.first("+c"), std::min(journal.first(".a"), journal.first(".b")));

  const auto too_large = scheduler.submit(request_of(300, 1, 200));
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::kOutOfMemory);
  EXPECT_NE(too_large.error().message.find("--kv-memory"), std::string::npos);
  while (scheduler.status().kv_reserved_bytes > 0) std::this_thread::yield();  // that of the turn before
}

// "Who is behind one that does not fit waits too."
TEST(Scheduler, SmallOnesDoNotPassALargeOneForEver) {
  const auto bytes_of = [](const Request& request) {
    Gate gate;
    Scheduler scheduler = scheduler_of();
    Request held = request;
    held.callbacks.on_token = [&](int32_t, std::string_view) {
      if (scheduler.status().kv_reserved_bytes > 0) gate.pass();
      return true;
    };
    EXPECT_TRUE(scheduler.submit(held));
    gate.wait_until_reached();
    const uint64_t reserved = scheduler.status().kv_reserved_bytes;
    gate.open();
    return reserved;
  };
  const uint64_t large_bytes = bytes_of(request_of(300, 2, 100));
  Journal journal;
  Gate gate;
  Scheduler scheduler = scheduler_of({.kv_memory_bytes = large_bytes});
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("first", request_of(100, 1, 20)))));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("large", request_of(300, 2, 100))));
  ASSERT_TRUE(scheduler.submit(journal.of("small", request_of(10, 3, 2))));
  gate.open();
  journal.wait_for(".small");
  EXPECT_LT(journal.first("+large"), journal.first("+small"));
  EXPECT_LT(journal.first(".first"), journal.first("+large"));
}

// "Short prompts that wait are computed together, without padding."
TEST(Scheduler, ShortPromptsArePacked) {
  Gate gate;
  Journal journal;
  std::mutex mutex;
  std::map<std::string, size_t> most_rows;  // of the step that computed it
  Scheduler scheduler = scheduler_of({.pack_tokens = 100});
  ASSERT_TRUE(scheduler.submit(held_at(gate, journal.of("now", request_of(9, 1)))));
  gate.wait_until_reached();
  const std::map<std::string, size_t> lengths = {{"a", 20}, {"b", 30}, {"c", 45}, {"d", 46}};
  for (const auto& [name, n] : lengths) {
    Request request = journal.of(name, request_of(n, 2));
    request.callbacks.on_progress = [&, key = name](const Progress& progress) {
      const std::scoped_lock lock(mutex);
      most_rows[key] = std::max(most_rows[key], progress.rows);
    };
    ASSERT_TRUE(scheduler.submit(std::move(request)));
  }
  gate.open();
  for (const auto& [name, n] : lengths) journal.wait_for("." + name);
  const std::map<std::string, size_t> expected = {{"a", 95}, {"b", 95}, {"c", 95}, {"d", 46}};
  EXPECT_EQ(most_rows, expected);
}

// "A turn of a prompt ends after `--turn-ms` if somebody waits for it."
TEST(Scheduler, NobodyWaitsNoTurn) {
  Journal journal;
  std::atomic<size_t> n_layers_begun{0};
  Scheduler scheduler = scheduler_of({.n_threads = 1, .turn_ms = 0.001});
  // Alone it is one turn: nothing happens between its blocks. Beside an answer a token comes between them.
  for (const bool has_company : {false, true}) {
    if (has_company) {
      ASSERT_TRUE(scheduler.submit(journal.of("answered", request_of(5, 1, 500))));
      journal.wait_for("+answered", 2);
    }
    std::vector<size_t> tokens_at_blocks;
    Request prompt = journal.of(has_company ? "beside" : "alone", request_of(200, 2, 1));
    prompt.callbacks.on_progress = [&](const Progress&) {
      tokens_at_blocks.push_back(journal.count("+answered"));
    };
    ASSERT_TRUE(scheduler.submit(std::move(prompt)));
    journal.wait_for(has_company ? ".beside" : ".alone");
    ASSERT_GT(tokens_at_blocks.size(), 6U);
    const size_t n_between = tokens_at_blocks.back() - tokens_at_blocks.front();
    EXPECT_EQ(n_between > 0, has_company);
  }
}

// "Whoever stops a request is told within one block of rows."
TEST(Scheduler, StoppedInTheQueueInThePromptAndInTheAnswer) {
  Journal journal;
  Gate gate;
  std::stop_source stop_prompt;
  Scheduler scheduler = scheduler_of({.max_sequences = 2});
  Request prompt = held_at(gate, journal.of("prompt", request_of(500, 1)));
  prompt.callbacks.stop = stop_prompt.get_token();
  std::stop_source stop_answer;
  Request answer = journal.of("answer", request_of(5, 2, 400));
  answer.callbacks.stop = stop_answer.get_token();
  ASSERT_TRUE(scheduler.submit(answer));
  journal.wait_for("+answer", 2);
  ASSERT_TRUE(scheduler.submit(prompt));
  gate.wait_until_reached();
  std::stop_source stop_queued;
  Request queued = journal.of("queued", request_of(9, 3));
  queued.callbacks.stop = stop_queued.get_token();
  ASSERT_TRUE(scheduler.submit(queued));
  for (std::stop_source* source : {&stop_queued, &stop_prompt, &stop_answer}) source->request_stop();
  gate.open();
  for (const char* name : {"queued", "prompt"}) {
    const auto result = journal.result(name);
    ASSERT_FALSE(result) << name;
    EXPECT_EQ(result.error().code, ErrorCode::kCancelled) << name;
  }
  const auto partial = journal.result("answer");
  ASSERT_TRUE(partial);
  EXPECT_EQ(partial->finish_reason, FinishReason::kCancelled);
  EXPECT_GE(partial->token_ids.size(), 2U);
  EXPECT_EQ(journal.count("+prompt"), 0U);
}

// "One that fails takes nobody with it."
TEST(Scheduler, OneThatFailsTakesNobodyWithIt) {
  Journal journal;
  Scheduler scheduler = scheduler_of();
  std::vector<Request> asked;
  Request poisoned = request_of(50, 1);
  poisoned.tokens.back() = kPoison;
  asked.push_back(journal.of("poisoned", poisoned));
  asked.push_back(journal.of("other", request_of(60, 2)));
  ASSERT_TRUE(scheduler.submit(std::move(asked)));
  const auto failed = journal.result("poisoned");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kInvalidFile);
  expect_same(*journal.result("other"), alone(request_of(60, 2)));
}

}  // namespace
}  // namespace lazyfill
