#include "cache/sequence_cache.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

namespace lazyfill {

SequenceCache::SequenceCache(const Shape& shape)
    : shape_(shape),
      ring_(shape.capacity_tokens, shape.n_pinned),
      aux_(shape.n_layers),
      votes_(shape.n_layers, VoteMemory(ring_)),
      beginning_{std::vector<size_t>(shape.n_layers), std::vector<size_t>(shape.n_layers)} {
  columns_.reserve(shape.n_layers);
  for (size_t i = 0; i < shape.n_layers; ++i)
    columns_.emplace_back(shape.column_type, shape.n_kv_heads, shape.head_dim, ring_);
}

std::vector<TokenIndex> SequenceCache::held_tokens(size_t n_new) const {
  std::vector<TokenIndex> tokens(n_held() + n_new);
  const size_t n_pinned = n_forgotten_ > 0 ? shape_.n_pinned : 0;
  const auto newer = tokens.begin() + static_cast<std::ptrdiff_t>(n_pinned);
  std::iota(tokens.begin(), newer, 0);
  std::iota(newer, tokens.end(), static_cast<TokenIndex>(n_pinned + n_forgotten_));
  return tokens;
}

AuxCache& SequenceCache::aux(size_t layer) {
  if (aux_[layer] == nullptr) aux_[layer] = std::make_unique<AuxCache>(shape_.d_model, ring_);
  return *aux_[layer];
}

SequenceCache::Marks SequenceCache::marks_here() const {
  Marks marks;
  for (const LayerColumns& columns : columns_) marks.columns.push_back(columns.mark());
  for (const auto& aux : aux_) marks.aux.push_back(aux != nullptr ? aux->mark() : 0);
  return marks;
}

void SequenceCache::undo_to(const Marks& marks) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    columns_[i].undo(marks.columns[i]);
    if (aux_[i] != nullptr) aux_[i]->undo(marks.aux[i]);
    votes_[i].rollback();
  }
}

void SequenceCache::clear_marks() {
  for (size_t i = 0; i < columns_.size(); ++i) {
    columns_[i].clear_marks();
    if (aux_[i] != nullptr) aux_[i]->clear_marks();
  }
}

void SequenceCache::begin_step() {
  if (!call_) clear_marks();
  step_ = marks_here();
}

void SequenceCache::commit_step(size_t n_new_tokens) {
  for (VoteMemory& votes : votes_) votes.commit();
  n_tokens_ += n_new_tokens;
  if (!call_) clear_marks();
}

void SequenceCache::commit_step(size_t n_new_tokens, std::span<const size_t> kept) {
  const auto first_new = static_cast<TokenIndex>(n_tokens_);
  for (size_t i = 0; i < columns_.size(); ++i) {
    columns_[i].keep_new(step_.columns[i], first_new, kept);
    if (aux_[i] != nullptr) aux_[i]->keep_new(step_.aux[i], first_new, kept);
    votes_[i].keep_new(first_new, n_new_tokens, kept);
  }
  commit_step(kept.size());
}

void SequenceCache::rollback_step() {
  undo_to(step_);
}

void SequenceCache::begin_call() {
  clear_marks();
  Call call{n_tokens_, saved_for_revival_, {}};
  for (const VoteMemory& votes : votes_) call.votes.push_back(votes.remembered());
  call_ = std::move(call);
}

void SequenceCache::end_call() {
  call_.reset();
  clear_marks();
}

void SequenceCache::undo_call() {
  undo_to(beginning_);
  n_tokens_ = call_->n_tokens;
  saved_for_revival_ = call_->saved_for_revival;
  for (size_t i = 0; i < votes_.size(); ++i) votes_[i].restore(std::move(call_->votes[i]));
  end_call();
}

void SequenceCache::truncate(size_t n_tokens) {
  if (n_tokens >= n_tokens_) return;
  const auto end = static_cast<TokenIndex>(n_tokens);
  for (LayerColumns& columns : columns_) columns.truncate(end);
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->forget(end, static_cast<TokenIndex>(n_tokens_));
  }
  for (VoteMemory& votes : votes_) votes.forget(end, static_cast<TokenIndex>(n_tokens_));
  n_tokens_ = n_tokens;
  n_forgotten_ = std::min(n_forgotten_, n_tokens - std::min(n_tokens, shape_.n_pinned));
}

void SequenceCache::forget_oldest(size_t n) {
  assert(n <= n_held() - std::min(n_held(), shape_.n_pinned));
  const auto first = static_cast<TokenIndex>(shape_.n_pinned + n_forgotten_);
  const auto end = first + static_cast<TokenIndex>(n);
  for (LayerColumns& columns : columns_) columns.forget(first, end);
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->forget(first, end);
  }
  for (VoteMemory& votes : votes_) votes.forget(first, end);
  n_forgotten_ += n;
}

uint64_t SequenceCache::kv_bytes() const {
  uint64_t total = 0;
  for (const LayerColumns& columns : columns_) total += columns.n_columns() * columns.bytes_per_column();
  return total;
}

uint64_t SequenceCache::aux_bytes() const {
  uint64_t total = 0;
  for (const auto& aux : aux_) total += aux == nullptr ? 0 : aux->bytes();
  return total;
}

}  // namespace lazyfill
