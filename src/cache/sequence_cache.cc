#include "cache/sequence_cache.h"

namespace lazyfill {

SequenceCache::SequenceCache(const Shape& shape)
    : shape_(shape), aux_(shape.n_layers), votes_(shape.n_layers), n_columns_before_(shape.n_layers, 0) {
  columns_.reserve(shape.n_layers);
  for (size_t i = 0; i < shape.n_layers; ++i) {
    columns_.emplace_back(shape.column_type, shape.n_kv_heads, shape.head_dim, shape.capacity_tokens);
  }
}

AuxCache& SequenceCache::aux(size_t layer) {
  if (aux_[layer] == nullptr)
    aux_[layer] = std::make_unique<AuxCache>(shape_.d_model, shape_.capacity_tokens);
  return *aux_[layer];
}

void SequenceCache::begin_step() {
  for (size_t i = 0; i < columns_.size(); ++i) n_columns_before_[i] = columns_[i].n_columns();
}

void SequenceCache::commit_step(size_t n_new_tokens) {
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->commit();
  }
  for (VoteMemory& votes : votes_) votes.commit();
  n_tokens_ += n_new_tokens;
}

void SequenceCache::rollback_step() {
  for (size_t i = 0; i < columns_.size(); ++i) columns_[i].drop_newest(n_columns_before_[i]);
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->rollback();
  }
  for (VoteMemory& votes : votes_) votes.rollback();
}

void SequenceCache::truncate(size_t n_tokens) {
  if (n_tokens >= n_tokens_) return;
  for (LayerColumns& columns : columns_) columns.truncate(static_cast<int32_t>(n_tokens));
  for (const auto& aux : aux_) {
    if (aux != nullptr) aux->truncate(static_cast<int32_t>(n_tokens));
  }
  for (VoteMemory& votes : votes_) votes.truncate(static_cast<int32_t>(n_tokens));
  n_tokens_ = n_tokens;
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
