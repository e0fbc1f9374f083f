// An answer's guide at work: which of the tokens that sampling draws is taken.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "decoding/guide.h"
#include "engine/engine_impl.h"

namespace lazyfill {

class Guided {
 public:
  // What the first tokens need of the guide is found by a thread of its own, while the prompt is computed.
  explicit Guided(const std::shared_ptr<Guide>& guide);

  // Draws, tests, and draws again without what the guide refuses. -1: the answer ends here, because nothing
  // can follow.
  int32_t choose(std::span<const float> logits, FunctionRef<int32_t(std::span<const float>)> draw);
  // The answer goes on with this token. True: it is complete, and nothing but an end could follow.
  bool accept(int32_t token);
  // The answer may end here.
  bool may_end() { return constraint_->may_end(); }

 private:
  void strike_all_but_mask();

  const Tokenizer& tokenizer_;
  std::unique_ptr<Constraint> constraint_;
  std::vector<float> logits_;  // without those that were refused
  std::future<void> prepared_;
};

}  // namespace lazyfill
