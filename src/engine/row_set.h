// The rows of a step, of all its sequences, with what they carry up the layers: hidden states, queries, and
// the angles by which their heads turn. First the body, by sequence and token; then the top rows, likewise:
// the newest of each sequence, which give logits and are computed more precisely.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "cache/token_ring.h"
#include "model/config.h"

namespace lazyfill {

struct RowRange {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};

class RowSet {
 public:
  struct Row {
    uint32_t sequence = 0;
    TokenIndex token = 0;
    int32_t position = 0;         // of the text: what the rotary embedding sees
    uint32_t context_tokens = 0;  // what its sequence may grow to
    bool of_prompt = false;       // Precision::of_prompt
  };

  RowSet(const ModelConfig& config, size_t n_sequences);

  // These rows and no others, sorted as they are kept; hidden states and queries are undefined.
  void assign(std::span<const Row> body, std::span<const Row> top);

  size_t size() const { return rows_.size(); }
  size_t n_body() const { return n_body_; }
  const uint8_t* of_prompt() const { return of_prompt_.data(); }  // [n_rows]
  std::span<const Row> rows() const { return rows_; }
  float* hidden() { return hidden_.data(); }                               // [n_rows, d_model]
  float* q() { return q_.data(); }                                         // [n_rows, q_dim]
  const float* angles(size_t rope) const { return angles_[rope].data(); }  // [n_rows, rope_dim]
  float* hidden_of(size_t row) { return hidden_.data() + row * d_model_; }
  const float* q_of(size_t row) const { return q_.data() + row * q_dim_; }

  RowRange body_of(size_t sequence) const { return body_[sequence]; }
  RowRange top_of(size_t sequence) const { return top_[sequence]; }
  // Its rows in ascending order of their tokens: those of the body, then the top ones.
  size_t n_of(size_t sequence) const { return body_[sequence].size() + top_[sequence].size(); }
  size_t row_of(size_t sequence, size_t i) const {
    const size_t n_body = body_[sequence].size();
    return i < n_body ? body_[sequence].begin + i : top_[sequence].begin + i - n_body;
  }
  std::vector<TokenIndex> tokens_of(size_t sequence) const;

  // Rows leave but for those with a 1. stays: [n_rows]
  void keep(std::span<const uint8_t> stays);
  // The others' body rows, all of tokens that have no row here, come in with all that they carry.
  void insert(RowSet& others);

 private:
  struct Carried {
    Buffer<float>* values;  // [n_rows, width]
    size_t width;
  };
  std::vector<Carried> carried();
  void find_ranges();
  void find_angles(const ModelConfig& config);

  const ModelConfig& config_;
  size_t d_model_;
  size_t q_dim_;
  size_t n_body_ = 0;
  std::vector<Row> rows_;
  std::vector<uint8_t> of_prompt_;  // [n_rows]
  std::vector<RowRange> body_;      // by sequence
  std::vector<RowRange> top_;       // by sequence
  Buffer<float> hidden_;
  Buffer<float> q_;
  std::vector<Buffer<float>> angles_;  // one a rope
};

}  // namespace lazyfill
