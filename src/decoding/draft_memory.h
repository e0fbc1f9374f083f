// What is known of drafts beyond one answer: the table of Token Recycling, and what rows cost. Any thread.
#pragma once

#include <mutex>
#include <optional>

#include "decoding/recycle_table.h"
#include "decoding/row_costs.h"

namespace lazyfill {

class DraftMemory {
 public:
  explicit DraftMemory(size_t n_tokens) : n_tokens_(n_tokens) {}

  // Calls fn(table), which nobody else sees meanwhile.
  template <class Fn>
  auto with_table(Fn fn) {
    const std::scoped_lock lock(mutex_);
    if (!table_) table_.emplace(n_tokens_);
    return fn(*table_);
  }

  void note_step(size_t n_rows, double ms) {
    const std::scoped_lock lock(mutex_);
    costs_.note(n_rows, ms);
  }
  RowCosts costs() const {
    const std::scoped_lock lock(mutex_);
    return costs_;
  }

 private:
  size_t n_tokens_;
  mutable std::mutex mutex_;
  std::optional<RecycleTable> table_;
  RowCosts costs_;
};

}  // namespace lazyfill
