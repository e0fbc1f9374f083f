#include "cli/batch.h"

#include <algorithm>
#include <new>
#include <utility>

namespace lazyfill::cli {

Result<void> Batch::run(Scheduler& scheduler) {
  auto done = flags_.batch.pads() ? run_padded(scheduler) : run_packed(scheduler);
  return done ? reader_.at_end() : done;
}

Batch::Slot Batch::prepared(Line line) {
  Slot slot{.line = std::move(line), .request = {}, .is_alone = false, .answers = {}};
  if (slot.line.fault) {
    slot.answers.emplace();
    return slot;
  }
  if (!runner_.can_be_scheduled(slot.line.settings, slot.line.asked)) {
    slot.is_alone = true;
    return slot;
  }
  try {
    auto request = runner_.request_of(slot.line.settings, slot.line.asked);
    if (request) {
      slot.request = std::move(*request);
      slot.request->cache_prompt = flags_.batch.prefix_cache;
      slot.request->cache_salt = flags_.batch.cache_salt;
    } else {
      slot.answers = tl::unexpected(request.error());
    }
  } catch (const std::bad_alloc&) {
    slot.answers = fail(ErrorCode::kOutOfMemory, "not enough memory for this line");
  }
  return slot;
}

// The answer comes to the slot.
void Batch::give(Slot& slot, Request& request) {
  request.on_end = [this, &slot](Result<Generation> result) {
    LineAnswers answers;
    if (!result) {
      answers = tl::unexpected(result.error());
    } else if (result->finish_reason == FinishReason::kCancelled) {
      answers = tl::unexpected(stopped(result->token_ids.size()));
    } else {
      answers->push_back({std::move(*result), nlohmann::ordered_json::object()});
    }
    const std::scoped_lock lock(mutex_);
    slot.answers = std::move(answers);
    changed_.notify_all();
  };
}

Result<void> Batch::run_packed(Scheduler& scheduler) {
  while (std::optional<Line> line = reader_.next()) {
    Slot& slot = slots_.emplace_back(prepared(std::move(*line)));
    while (slot.request) {
      Request request = *slot.request;
      give(slot, request);
      auto submitted = scheduler.submit(std::move(request));
      if (!submitted && submitted.error().code == ErrorCode::kBusy) {
        // Whoever is first is answered some time, and then there is room.
        if (auto written = write_first(); !written) return written;
        continue;
      }
      slot.request.reset();
      if (!submitted) slot.answers = tl::unexpected(submitted.error());
    }
  }
  return write_all();
}

// As engines without packing: N lines at a time, and the next when all of them are answered.
Result<void> Batch::run_padded(Scheduler& scheduler) {
  while (std::optional<Line> line = reader_.next()) slots_.push_back(prepared(std::move(*line)));
  std::vector<Slot*> order;
  for (Slot& slot : slots_) {
    if (slot.request) order.push_back(&slot);
  }
  if (flags_.batch.sorts()) {
    std::stable_sort(order.begin(), order.end(), [](const Slot* a, const Slot* b) {
      return a->request->tokens.size() < b->request->tokens.size();
    });
  }
  for (size_t begin = 0; begin < order.size(); begin += flags_.batch.n) {
    const auto batch = std::span(order).subspan(begin, std::min(flags_.batch.n, order.size() - begin));
    std::vector<Request> requests;
    for (Slot* slot : batch) {
      give(*slot, requests.emplace_back(std::move(*slot->request)));
      slot->request.reset();
    }
    if (auto submitted = scheduler.submit(std::move(requests)); !submitted) {
      // One of them cannot be: all of this batch say why.
      for (Slot* slot : batch) slot->answers = tl::unexpected(submitted.error());
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return std::all_of(batch.begin(), batch.end(),
                         [](const Slot* slot) { return slot->answers.has_value(); });
    });
  }
  return write_all();
}

Result<void> Batch::write_first() {
  Slot& slot = slots_.front();
  if (slot.is_alone) {
    slot.answers = answer_alone(runner_, slot.line);
  } else {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return slot.answers.has_value(); });
  }
  auto written = writer_.write(slot.line, *slot.answers);
  slots_.pop_front();
  return written;
}

Result<void> Batch::write_all() {
  while (!slots_.empty()) {
    if (auto written = write_first(); !written) return written;
  }
  return {};
}

}  // namespace lazyfill::cli
