#include "cache/sequence_cache.h"

#include <algorithm>
#include <cassert>
#include <cstring>
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
  cut_layer_.reset();
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
  if (entered_layer_) {
    for (size_t i = 0; i < kept.size(); ++i)
      put_entered(first_new + static_cast<TokenIndex>(i),
                  entered_state(first_new + static_cast<TokenIndex>(kept[i])));
  }
  commit_step(kept.size());
}

void SequenceCache::commit_step_up_to(size_t n_new_tokens, size_t layer) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (i > layer) columns_[i].undo(step_.columns[i]);
    // What came back below has its columns now.
    if (i >= layer && aux_[i] != nullptr) aux_[i]->undo(step_.aux[i]);
    votes_[i].rollback();
  }
  n_tokens_ += n_new_tokens;
  clear_marks();
  cut_layer_ = layer;
}

void SequenceCache::forget_entered() {
  entered_layer_.reset();
  entered_ = {};
}

void SequenceCache::rollback_step() {
  undo_to(step_);
  was_evicted_ &= n_tokens_ > 0;  // it happens in a first step
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
  was_evicted_ &= n_tokens > 0;
  entered_from_ = std::min(entered_from_, end);
  n_forgotten_ = std::min(n_forgotten_, n_tokens - std::min(n_tokens, shape_.n_pinned));
}

void SequenceCache::forget_oldest(size_t n) {
  assert(n <= n_held() - std::min(n_held(), shape_.n_pinned));
  const auto first = static_cast<TokenIndex>(shape_.n_pinned + n_forgotten_);
  const auto end = first + static_cast<TokenIndex>(n);
  for (LayerColumns& columns : columns_) columns.reserve_forgetting(n);
  for (LayerColumns& columns : columns_) columns.forget(first, end);
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->forget(first, end);
  }
  for (VoteMemory& votes : votes_) votes.forget(first, end);
  n_forgotten_ += n;
}

void SequenceCache::keep_entered(size_t layer) {
  entered_layer_ = layer;
  entered_from_ = static_cast<TokenIndex>(n_tokens_);
  entered_ = Buffer<float>(shape_.capacity_tokens * shape_.d_model);
}

const float* SequenceCache::entered_state(TokenIndex token) const {
  return &entered_[ring_.place_of(token) * shape_.d_model];
}

void SequenceCache::put_entered(TokenIndex token, const float* hidden) {
  std::memmove(&entered_[ring_.place_of(token) * shape_.d_model], hidden, shape_.d_model * sizeof(float));
}

CachePart SequenceCache::copy_part(TokenIndex begin, TokenIndex end, size_t first_layer, size_t end_layer,
                                   bool entered) const {
  CachePart part;
  part.begin = begin;
  part.end = end;
  part.first_layer = first_layer;
  part.layers.resize(end_layer - first_layer);
  for (size_t layer = first_layer; layer < end_layer; ++layer) {
    CachePart::Layer& to = part.layers[layer - first_layer];
    to.tokens = columns_[layer].tokens_in(begin, end);
    to.columns = Buffer<std::byte>(to.tokens.size() * columns_[layer].bytes_per_column());
    columns_[layer].copy_out(to.tokens, to.columns.data());
    const bool is_entered = entered && layer + 1 == end_layer;
    if (is_entered || aux_[layer] == nullptr) continue;
    for (TokenIndex token = begin; token < end; ++token)
      if (aux_[layer]->has(token)) to.left.push_back(token);
    to.states = Buffer<float>(to.left.size() * shape_.d_model);
    for (size_t i = 0; i < to.left.size(); ++i)
      std::copy_n(aux_[layer]->state_of(to.left[i]), shape_.d_model, &to.states[i * shape_.d_model]);
  }
  if (!entered) return part;
  part.entered = Buffer<float>(static_cast<size_t>(end - begin) * shape_.d_model);
  for (TokenIndex token = begin; token < end; ++token)
    std::copy_n(entered_state(token), shape_.d_model,
                &part.entered[static_cast<size_t>(token - begin) * shape_.d_model]);
  return part;
}

void SequenceCache::take_part(const CachePart& part, TokenIndex begin, TokenIndex end) {
  const auto within = [&](const std::vector<TokenIndex>& tokens) {
    const auto first = std::lower_bound(tokens.begin(), tokens.end(), begin);
    return std::span(first, std::lower_bound(first, tokens.end(), end));
  };
  const auto offset = static_cast<size_t>(begin - part.begin);
  const auto n_tokens = static_cast<size_t>(end - begin);
  for (size_t i = 0; i < part.layers.size(); ++i) {
    const CachePart::Layer& from = part.layers[i];
    const size_t layer = part.first_layer + i;
    const std::span<const TokenIndex> tokens = within(from.tokens);
    columns_[layer].copy_in(tokens, from.columns.data(),
                            static_cast<size_t>(tokens.data() - from.tokens.data()), from.tokens.size());
    for (const TokenIndex& token : within(from.left))
      aux(layer).put(token, &from.states[static_cast<size_t>(&token - from.left.data()) * shape_.d_model]);
  }
  if (entered_layer_ && part.entered.size() > 0) {
    for (size_t i = 0; i < n_tokens; ++i)
      put_entered(begin + static_cast<TokenIndex>(i), &part.entered[(offset + i) * shape_.d_model]);
  }
  n_tokens_ = std::max(n_tokens_, static_cast<size_t>(end));
  clear_marks();
}

void SequenceCache::revive_entered() {
  const size_t layer = *entered_layer_;
  for (TokenIndex token = entered_from_; token < static_cast<TokenIndex>(n_tokens_); ++token) {
    if (!columns_[layer + 1].has(token)) aux(layer).put(token, entered_state(token));
  }
  clear_marks();
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
