#include "engine/guided.h"

#include <limits>
#include <system_error>

#include "engine/logits.h"

namespace lazyfill {
namespace {

constexpr float kStruckOut = -std::numeric_limits<float>::infinity();
constexpr size_t kDrawsBeforeMask = 16;  // a mask costs as much as some verdicts
constexpr size_t kDrawsInAll = 200;      // then what is known to be allowed

}  // namespace

Guided::Guided(const std::shared_ptr<Guide>& guide)
    : tokenizer_(guide->vocabulary().tokenizer()), constraint_(start_constraint(guide)) {
  try {
    prepared_ = std::async(std::launch::async, [guide] {
      try {
        const auto locked = guide->lock();
        (void)guide->mask(guide->start());
        (void)guide->endings(guide->start(), false);
      } catch (const std::bad_alloc&) {  // whoever needs it will find it itself, or fail
      }
    });
  } catch (const std::system_error&) {  // no thread: likewise
  }
}

void Guided::strike_all_but_mask() {
  const TokenMask& mask = constraint_->mask();
  const bool may_end = constraint_->may_end();
  for (size_t i = 0; i < logits_.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    if (!has_token(mask, token) && !(may_end && tokenizer_.is_end(token))) logits_[i] = kStruckOut;
  }
}

int32_t Guided::choose(std::span<const float> logits, FunctionRef<int32_t(std::span<const float>)> draw) {
  int32_t token = draw(logits);
  if (constraint_->allows(token)) return token;
  logits_.assign(logits.begin(), logits.end());
  for (size_t n_draws = 1; n_draws < kDrawsInAll; ++n_draws) {
    logits_[static_cast<size_t>(token)] = kStruckOut;
    if (n_draws == kDrawsBeforeMask) strike_all_but_mask();
    if (largest(logits_) <= std::numeric_limits<float>::lowest()) break;  // nothing is left to draw
    token = draw(logits_);
    if (constraint_->allows(token)) return token;
  }
  if (const int32_t known = constraint_->known_next(); known >= 0) return known;
  return -1;
}

bool Guided::accept(int32_t token) {
  constraint_->accept(token);
  return constraint_->must_end();
}

}  // namespace lazyfill
