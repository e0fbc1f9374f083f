// Tiled attention, written once for every instruction set. A template over
//   Simd      registers of floats (avx2/simd.h, avx512/simd.h)
//   Products  how keys, queries, weights and values are multiplied: as floats, as pairs of bf16, or as pairs
//             of 16-bit integers with scales (kScaled)
//
// The lanes of a register are query vectors: the rows of a block times the query heads that share a kv head.
// So a softmax needs no sum or maximum across lanes, keys and values are broadcast as they lie in memory, and
// a tile of columns is converted once for all lanes. Scores live in units of log2: the exponential is a power
// of two.
//
// Memory is counted in words of 32 bits: one float or two bf16 or integers of neighbouring inputs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>

#include "base/buffer.h"
#include "kernels/attention_block.h"
#include "kernels/attention_columns.h"
#include "kernels/kernels.h"
#include "kernels/reference/attention.h"

namespace lazyfill::tiles {

template <class Simd, class Products>
class TiledAttention {
  using Vec = typename Simd::Vec;
  static constexpr size_t kLanes = Simd::kLanes;
  static constexpr int kRows = Simd::kBlockRows;
  static constexpr size_t kPair = Products::kPair;
  static constexpr bool kScaled = Products::kScaled;

 public:
  TiledAttention(const AttentionTask& task, size_t kv_head, Buffer<std::byte>& scratch)
      : task_(task),
        shape_(task.shape),
        d_(task.shape.head_dim),
        k_words_(task.shape.head_dim / kPair),
        columns_(task, kv_head),
        kv_head_(kv_head),
        group_(task.shape.n_heads / task.shape.n_kv_heads) {
    rows_per_block_ = std::max<size_t>(1, kBlockLanes / group_);
    reserve(scratch);
  }

  // Calls finish(row, head, values, stride, reference, sum) for every row and query head of the kv head: the
  // weighted values are values[i * stride].
  template <class Finish>
  void run(ColumnRange part, Finish&& finish) {
    for (size_t row = 0; row < task_.n_rows; row += rows_per_block_) {
      begin_block(row, std::min(rows_per_block_, task_.n_rows - row), part);
      sweep();
      finish_block(finish);
    }
  }

 private:
  void reserve(Buffer<std::byte>& scratch) {
    const size_t rows = std::min(rows_per_block_, task_.n_rows);
    const size_t lanes = (rows * group_ + kLanes - 1) / kLanes * kLanes;
    const size_t sizes[] = {lanes * k_words_,
                            lanes * d_,
                            lanes,
                            lanes,
                            lanes,
                            lanes,
                            kTileColumns * k_words_,
                            kTileColumns / kPair * d_,
                            kTileColumns * kPanelRegisters * kLanes,
                            kScaled ? lanes : 0,
                            kScaled ? kTileColumns : 0,
                            kScaled ? d_ : 0,
                            kScaled ? 0 : 2 * d_};
    size_t total = lanes;  // bounds the number of panels
    size_t offsets[std::size(sizes)];
    for (size_t i = 0; i < std::size(sizes); ++i) {
      offsets[i] = total;
      total += (sizes[i] + 15) / 16 * 16;
    }
    const size_t panel_bytes = (lanes / kLanes + 1) * sizeof(Panel);
    const size_t panel_words = (panel_bytes + 63) / 64 * 16;
    scratch.ensure((panel_words + total) * sizeof(uint32_t));
    panels_ = reinterpret_cast<Panel*>(scratch.data());
    auto* words = reinterpret_cast<uint32_t*>(scratch.data()) + panel_words;
    const auto floats = [&](size_t i) { return reinterpret_cast<float*>(words + offsets[i]); };
    const auto ints = [&](size_t i) { return reinterpret_cast<int32_t*>(words + offsets[i]); };
    const TileMemory tile{words + offsets[6], words + offsets[7], floats(10), floats(11)};
    m_ = {words + offsets[0], floats(1), floats(2),  floats(3), ints(4), ints(5),
          floats(8),          floats(9), floats(12), tile};
  }

  // --- a block of rows ---

  void begin_block(size_t first_row, size_t n_rows, ColumnRange part) {
    first_row_ = first_row;
    n_used_lanes_ = n_rows * group_;
    n_lanes_ = (n_used_lanes_ + kLanes - 1) / kLanes * kLanes;
    for (size_t lane = 0; lane < n_lanes_; ++lane) {
      // Lanes beyond the last copy its range, so that they never force a mask.
      const ColumnRange range = task_.ranges[first_row + std::min(lane, n_used_lanes_ - 1) / group_];
      m_.begin[lane] = static_cast<int32_t>(std::max(range.begin, part.begin));
      m_.end[lane] = static_cast<int32_t>(std::min(range.end, part.end));
    }
    std::fill_n(m_.reference, n_lanes_, kNothingYet);
    std::fill_n(m_.sum, n_lanes_, 0.0F);
    std::fill_n(m_.o, n_lanes_ * d_, 0.0F);
    cut_panels();
    pack_queries();
  }

  void cut_panels() {
    n_panels_ = 0;
    seen_ = {std::numeric_limits<uint32_t>::max(), 0};
    size_t left = n_lanes_ / kLanes;
    for (size_t lane = 0; lane < n_lanes_;) {
      const size_t n = left == kPanelRegisters + 1 ? 2 : std::min<size_t>(left, kPanelRegisters);
      Panel& panel = panels_[n_panels_++];
      panel = {lane,
               static_cast<int>(n),
               {std::numeric_limits<uint32_t>::max(), 0},
               {0, std::numeric_limits<uint32_t>::max()}};
      for (size_t end = lane + n * kLanes; lane < end; ++lane) widen(panel, m_.begin[lane], m_.end[lane]);
      if (panel.any.begin < panel.any.end) {
        seen_.begin = std::min(seen_.begin, panel.any.begin);
        seen_.end = std::max(seen_.end, panel.any.end);
      }
      left -= n;
    }
  }

  static void widen(Panel& panel, int32_t begin, int32_t end) {
    const auto b = static_cast<uint32_t>(begin);
    const auto e = static_cast<uint32_t>(end);
    panel.all = {std::max(panel.all.begin, b), std::min(panel.all.end, e)};
    if (b < e) panel.any = {std::min(panel.any.begin, b), std::max(panel.any.end, e)};
  }

  void pack_queries() {
    const float scale = shape_.softcap > 0 ? shape_.scale / shape_.softcap : shape_.scale * kLog2E;
    for (size_t p = 0; p < n_panels_; ++p) {
      const Panel& panel = panels_[p];
      const size_t width = panel.n_registers * kLanes;
      uint32_t* packed = m_.q + panel.first_lane * k_words_;
      for (size_t i = 0; i < width; ++i) {
        const size_t lane = panel.first_lane + i;
        const size_t row = first_row_ + lane / group_;
        const size_t head = kv_head_ * group_ + lane % group_;
        const bool used = lane < n_used_lanes_;
        const float* q = task_.q + (row * shape_.n_heads + head) * d_;
        if constexpr (kScaled) {
          pack_scaled_query(used ? q : nullptr, lane, packed + i, width);
        } else {
          for (size_t k = 0; k < k_words_; ++k) {
            packed[k * width + i] = used ? Products::pack_query(q + k * kPair, scale) : 0;
          }
        }
      }
    }
  }

  // q [d_], null for a lane that nobody uses, to packed[k * width].
  void pack_scaled_query(const float* q, size_t lane, uint32_t* packed, size_t width) {
    uint32_t* words = m_.tile.keys;  // no tile is there yet
    float scale = 0;
    if (q != nullptr) {
      scale = Products::pack_vector([&](size_t i) { return Simd::load(q + i); }, d_, words);
    } else {
      std::fill_n(words, k_words_, 0U);
    }
    m_.q_scale[lane] = scale * shape_.scale * kLog2E;  // capped scores are not multiplied in integers
    for (size_t k = 0; k < k_words_; ++k) packed[k * width] = words[k];
  }

  template <class Finish>
  void finish_block(Finish& finish) {
    for (size_t p = 0; p < n_panels_; ++p) {
      const Panel& panel = panels_[p];
      const size_t width = panel.n_registers * kLanes;
      const float* o = m_.o + panel.first_lane * d_;
      const size_t end = std::min(panel.first_lane + width, n_used_lanes_);
      for (size_t lane = panel.first_lane; lane < end; ++lane) {
        finish(first_row_ + lane / group_, kv_head_ * group_ + lane % group_, o + (lane - panel.first_lane),
               width, m_.reference[lane], m_.sum[lane]);
      }
    }
  }

  // --- the sweep over the columns ---

  void sweep() {
    // Tiles begin on a grid and are whole as far as the list goes, whatever this block sees of them: the
    // scales of a tile's values, and so a row's bits, must not depend on the rows beside it.
    for (size_t begin = seen_.begin / kTileColumns * kTileColumns; begin < seen_.end; begin += kTileColumns) {
      const size_t end = std::min(begin + kTileColumns, task_.list.n);
      tile_ = columns_.load(begin, end - begin, m_);
      for (size_t p = 0; p < n_panels_; ++p) {
        const Panel& panel = panels_[p];
        columns_.ask_for_part(end, p, n_panels_);
        if (panel.any.begin >= end || panel.any.end <= begin) continue;
        if (panel.n_registers == 3) step<3>(panel, begin, end);
        if (panel.n_registers == 2) step<2>(panel, begin, end);
        if (panel.n_registers == 1) step<1>(panel, begin, end);
      }
    }
  }

  template <int M>
  void step(const Panel& panel, size_t begin, size_t end) {
    constexpr size_t kWidth = M * kLanes;
    // A panel that sees only the first columns of the tile needs no more of it.
    const size_t n = (std::min<size_t>(panel.any.end, end) - begin + kRows - 1) / kRows * kRows;
    Vec maximum[M];
    for (int m = 0; m < M; ++m) maximum[m] = Simd::set1(kUnseen);
    const uint32_t* q = m_.q + panel.first_lane * k_words_;
    for (size_t c = 0; c < n; c += kRows) {
      score_block<M>(tile_.keys + c * k_words_, q, m_.scores + c * kWidth, maximum, tile_.key_scale + c,
                     m_.q_scale + panel.first_lane);
    }
    const bool masked = panel.all.begin > begin || panel.all.end < begin + n;
    if (shape_.softcap > 0) cap<M>(n, maximum);
    if (masked) mask<M>(panel.first_lane, begin, n, maximum);
    move_reference<M>(panel, maximum);
    Vec factor[M];  // of the tile's sums, where products are scaled
    if constexpr (kScaled) {
      exponentiate_scaled<M>(panel.first_lane, n, maximum, factor);
    } else {
      exponentiate<M>(panel.first_lane, n);
    }
    const auto* weights = reinterpret_cast<const uint32_t*>(m_.scores);
    float* o = m_.o + panel.first_lane * d_;
    for (size_t i = 0; i < d_; i += kRows) {
      add_values<M>(weights, tile_.values + i, n / kPair, o + i * kWidth, tile_.value_scale + i, factor);
    }
  }

  // scores [kRows] rows of the panel = keys [kRows, k_words] . q
  template <int M>
  void score_block(const uint32_t* keys, const uint32_t* q, float* scores, Vec (&maximum)[M],
                   const float* key_scale, const float* q_scale) {
    constexpr size_t kWidth = M * kLanes;
    Vec acc[kRows][M];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int m = 0; m < M; ++m) acc[r][m] = Simd::zero();
    }
    multiply<M>(keys, k_words_, 1, q, k_words_, acc);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int m = 0; m < M; ++m) {
        if constexpr (kScaled) {
          const Vec scale = Simd::mul(Simd::load(q_scale + m * kLanes), Simd::set1(key_scale[r]));
          acc[r][m] = Simd::mul(Products::to_float(acc[r][m]), scale);
        }
        maximum[m] = Simd::max(maximum[m], acc[r][m]);
        Simd::store(scores + r * kWidth + m * kLanes, acc[r][m]);
      }
    }
  }

  // o [kRows] rows of the panel += values [n_words, kRows of d] . weights [n_words] rows
  template <int M>
  void add_values(const uint32_t* weights, const uint32_t* values, size_t n_words, float* o,
                  const float* value_scale, const Vec (&factor)[M]) {
    constexpr size_t kWidth = M * kLanes;
    Vec acc[kRows][M];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int m = 0; m < M; ++m)
        acc[r][m] = kScaled ? Simd::zero() : Simd::load(o + r * kWidth + m * kLanes);
    }
    multiply<M>(values, 1, d_, weights, n_words, acc);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int m = 0; m < M; ++m) {
        float* at = o + r * kWidth + m * kLanes;
        if constexpr (kScaled) {
          const Vec scale = Simd::mul(factor[m], Simd::set1(value_scale[r]));
          acc[r][m] = Simd::fma(Products::to_float(acc[r][m]), scale, Simd::load(at));
        }
        Simd::store(at, acc[r][m]);
      }
    }
  }

  // acc += a.b over n words: row r's word k is a[r * row_step + k * step], b is [n] rows of the panel.
  template <int M>
  static void multiply(const uint32_t* a, size_t row_step, size_t step, const uint32_t* b, size_t n,
                       Vec (&acc)[kRows][M]) {
    if constexpr (kScaled && M == kPanelRegisters && Simd::kHasIntegerTile) {
      return Simd::integer_tile(a, row_step * 4, step * 4, b, n, acc);  // from zero
    }
    for (size_t k = 0; k < n; ++k) {
      Vec lanes[M];
#pragma GCC unroll 3
      for (int m = 0; m < M; ++m)
        lanes[m] = Simd::load(reinterpret_cast<const float*>(b) + (k * M + m) * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vec all = Simd::set1(reinterpret_cast<const float*>(a)[r * row_step + k * step]);
#pragma GCC unroll 3
        for (int m = 0; m < M; ++m) acc[r][m] = Products::dot(all, lanes[m], acc[r][m]);
      }
    }
  }

  // --- the softmax ---

  // scores = softcap * tanh(scores), in units of log2; queries were scaled by 1 / softcap.
  template <int M>
  void cap(size_t n, Vec (&maximum)[M]) {
    for (int m = 0; m < M; ++m) maximum[m] = Simd::set1(kUnseen);
    for (size_t c = 0; c < n; ++c) {
      for (int m = 0; m < M; ++m) {
        float* at = m_.scores + (c * M + m) * kLanes;
        const Vec capped = softcapped<Simd>(Simd::load(at), shape_.softcap);
        Simd::store(at, capped);
        maximum[m] = Simd::max(maximum[m], capped);
      }
    }
  }

  template <int M>
  void mask(size_t first_lane, size_t begin, size_t n, Vec (&maximum)[M]) {
    const Vec unseen = Simd::set1(kUnseen);
    for (int m = 0; m < M; ++m) {
      const int32_t* lane_begin = m_.begin + first_lane + m * kLanes;
      const int32_t* lane_end = m_.end + first_lane + m * kLanes;
      maximum[m] = unseen;
      for (size_t c = 0; c < n; ++c) {
        float* at = m_.scores + (c * M + m) * kLanes;
        const Vec x =
            Simd::keep_inside(Simd::load(at), static_cast<int32_t>(begin + c), lane_begin, lane_end, unseen);
        Simd::store(at, x);
        maximum[m] = Simd::max(maximum[m], x);
      }
    }
  }

  // Keeps the reference of each lane within kSlack of its largest score. Only that of a lane that exceeds it
  // moves, or a row's bits would depend on its neighbours.
  template <int M>
  void move_reference(const Panel& panel, const Vec (&maximum)[M]) {
    for (int m = 0; m < M; ++m) {
      float* reference = m_.reference + panel.first_lane + m * kLanes;
      const Vec old = Simd::load(reference);
      const Vec limit = Simd::add(old, Simd::set1(kSlack));
      if (!Simd::any_greater(maximum[m], limit)) continue;
      const Vec now = Simd::where_greater(maximum[m], limit, maximum[m], old);
      const Vec moved = Simd::exp2(Simd::sub(old, now));
      const Vec factor = Simd::where_greater(maximum[m], limit, moved, Simd::set1(1));
      Simd::store(reference, now);
      float* sum = m_.sum + panel.first_lane + m * kLanes;
      Simd::store(sum, Simd::mul(Simd::load(sum), factor));
      float* o = m_.o + panel.first_lane * d_ + m * kLanes;
      for (size_t i = 0; i < d_; ++i, o += M * kLanes) Simd::store(o, Simd::mul(Simd::load(o), factor));
    }
  }

  // Weights 2^(score - reference) take the place of the scores; two rows become one where words are pairs.
  template <int M>
  void exponentiate(size_t first_lane, size_t n) {
    for (int m = 0; m < M; ++m) {
      const Vec reference = Simd::load(m_.reference + first_lane + m * kLanes);
      float* at = m_.sum + first_lane + m * kLanes;
      Vec sum = Simd::load(at);
      float* scores = m_.scores + m * kLanes;
      for (size_t c = 0; c < n; c += 2) {
        const Vec first = Products::exp2(Simd::sub(Simd::load(scores + c * M * kLanes), reference));
        const Vec second = Products::exp2(Simd::sub(Simd::load(scores + (c + 1) * M * kLanes), reference));
        sum = Simd::add(sum, Simd::add(first, second));
        Products::template store_weights<M * kLanes>(scores, c, first, second);
      }
      Simd::store(at, sum);
    }
  }

  // The same with integer weights, the largest of a lane in this tile being Products::kLargestWeight: a lane
  // whose great weights lie in other tiles keeps all its bits. `factor` brings the tile's sums back to the
  // reference; it is 0 where a lane sees nothing of the tile.
  template <int M>
  void exponentiate_scaled(size_t first_lane, size_t n, const Vec (&maximum)[M], Vec (&factor)[M]) {
    for (int m = 0; m < M; ++m) {
      const Vec reference = Simd::load(m_.reference + first_lane + m * kLanes);
      factor[m] = Simd::mul(Simd::exp2(Simd::sub(maximum[m], reference)),
                            Simd::set1(1.0F / (1 << Products::kWeightBits)));
      const Vec top = Simd::sub(maximum[m], Simd::set1(Products::kWeightBits));
      Vec integer_sum = Simd::zero();
      float* scores = m_.scores + m * kLanes;
      for (size_t c = 0; c < n; c += 2) {
        float* at = scores + c * M * kLanes;
        const Vec first = Products::weight(Simd::sub(Simd::load(at), top));
        const Vec second = Products::weight(Simd::sub(Simd::load(at + M * kLanes), top));
        integer_sum = Products::add(integer_sum, Products::add(first, second));
        Simd::store(scores + c / 2 * M * kLanes, Products::pair(first, second));
      }
      float* sum = m_.sum + first_lane + m * kLanes;
      Simd::store(sum, Simd::fma(Products::to_float(integer_sum), factor[m], Simd::load(sum)));
    }
  }

  const AttentionTask& task_;
  const AttentionShape& shape_;
  size_t d_;
  size_t k_words_;
  TileColumns<Simd, Products> columns_;
  size_t kv_head_;
  size_t group_;  // query heads that share the kv head
  size_t rows_per_block_ = 0;

  BlockMemory m_{};
  Tile tile_{};  // that the sweep is at
  Panel* panels_ = nullptr;
  size_t n_panels_ = 0;
  size_t first_row_ = 0;
  size_t n_lanes_ = 0;
  size_t n_used_lanes_ = 0;
  ColumnRange seen_;  // columns that some lane of the block sees
};

}  // namespace lazyfill::tiles
