// Attention of very few rows, written once for every instruction set: a template over Simd (avx2/simd.h,
// avx512/simd.h). The work is reading the columns, so each is loaded once for all query heads that share it,
// and the lanes of a register run along head_dim. Scores live in units of log2.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "kernels/attention_tiles.h"
#include "kernels/kernels.h"

namespace lazyfill::tiles {

// The lanes must fill whole registers, and the loops below take four of them at a time or one.
template <class Simd>
bool fits_row_attention(const AttentionShape& shape) {
  return shape.head_dim % Simd::kLanes == 0;
}

template <class Simd>
class RowAttention {
  using Vec = typename Simd::Vec;
  static constexpr size_t kLanes = Simd::kLanes;

 public:
  // Columns between two looks at the maximum; the scores of a chunk stay in L1.
  static constexpr size_t kChunk = 128;
  // Values are read in strips: where a value does not fit the registers at once, its next part is read while
  // it is still in L1.
  static constexpr size_t kStripBytes = 8192;
  static constexpr size_t kMaxStrip = 32;
  // Columns whose sums across lanes are stored together.
  static constexpr size_t kSumColumns = Simd::kSumColumns;
  static constexpr size_t kLine = 64;
  // How far ahead of its use memory is asked for a column.
  static constexpr size_t kAheadBytes = 4096;
  // Query heads that share one load of a column: as many as there are registers for.
  static constexpr size_t kMaxHeads = Simd::kBlockRows >= 8 ? 4 : 3;

  // scratch must hold (head_dim * 2 + kChunk + 2) * group floats.
  RowAttention(const AttentionTask& task, size_t kv_head)
      : task_(task),
        shape_(task.shape),
        d_(task.shape.head_dim),
        column_bytes_(column_bytes(task.columns.type, task.shape.head_dim)),
        element_bytes_(column_bytes_ / d_),  // without the scales
        kv_head_(kv_head),
        group_(task.shape.n_heads / task.shape.n_kv_heads),
        strip_(std::clamp(kStripBytes / column_bytes_, kSumColumns, kMaxStrip) / kSumColumns * kSumColumns),
        ahead_(kAheadBytes / column_bytes_ + 1),
        is_scattered_(task.list.slots != nullptr),
        asks_lines_(!is_scattered_ || column_bytes_ % kLine == 0) {}

  size_t group() const { return group_; }

  // q [group, head_dim] of one row, scaled for scores().
  void scale_queries(size_t row, float* q) const {
    const float scale = shape_.softcap > 0 ? shape_.scale / shape_.softcap : shape_.scale * kLog2E;
    const float* source = task_.q + (row * shape_.n_heads + kv_head_ * group_) * d_;
    for (size_t i = 0; i < group_ * d_; ++i) q[i] = source[i] * scale;
  }

  // out [group, stride]: scores of the columns [begin, begin + n) of the list, n at most `stride`, which is a
  // multiple of kLanes; what lies between is kUnseen.
  void scores(const float* q, size_t begin, size_t n, float* out, size_t stride) const {
    const size_t at_once = group_ <= kMaxHeads ? n : strip_;
    for (size_t c = 0; c < n; c += at_once) {
      const size_t m = std::min(at_once, n - c);
      for_head_sets([&](auto count, size_t h) {
        score_heads<count.kValue>(q + h * d_, begin + c, m, out + h * stride + c, stride, h == 0);
      });
    }
    for (size_t h = 0; h < group_; ++h) {
      float* row = out + h * stride;
      std::fill(row + n, row + stride, kUnseen);
      if (shape_.softcap > 0) cap(row, stride, n);
    }
  }

  // sums [group, head_dim] += weights [group, stride] . values of the columns [begin, begin + n).
  void add_values(const float* weights, size_t stride, size_t begin, size_t n, float* sums) const {
    for (size_t c = 0; c < n; c += strip_) {
      const size_t m = std::min(strip_, n - c);
      const auto add = [&](auto n_registers, size_t i) {
        for_head_sets([&](auto count, size_t h) {
          add_block<count.kValue, n_registers.kValue>(weights + h * stride + c, stride, begin + c, m, i,
                                                      sums + h * d_ + i, h == 0);
        });
      };
      size_t i = 0;
      for (; i + 4 * kLanes <= d_; i += 4 * kLanes) add(Count<4>{}, i);
      for (; i < d_; i += kLanes) add(Count<1>{}, i);
    }
  }

  // weights = 2^(score - reference) in place; returns their sum.
  static float exponentiate(float* scores, size_t n, float reference) {
    Vec sum = Simd::zero();
    for (size_t i = 0; i < n; i += kLanes) {
      const Vec weight = Simd::exp2(Simd::sub(Simd::load(scores + i), Simd::set1(reference)));
      sum = Simd::add(sum, weight);
      Simd::store(scores + i, weight);
    }
    return Simd::reduce_add(sum);
  }

  static float maximum(const float* scores, size_t n) {
    Vec best = Simd::set1(kUnseen);
    for (size_t i = 0; i < n; i += kLanes) best = Simd::max(best, Simd::load(scores + i));
    return Simd::reduce_max(best);
  }

 private:
  template <size_t kCount>
  struct Count {
    static constexpr size_t kValue = kCount;
  };
  template <class Fn>
  static void dispatch(size_t n, Fn&& fn) {
    switch (n) {
      case 1:
        return fn(Count<1>{});
      case 2:
        return fn(Count<2>{});
      case 3:
        return fn(Count<3>{});
      default:
        return fn(Count<4>{});
    }
  }

  // Calls fn(Count<n>, first head) for the query heads in sets that differ by one at most: two sets of two,
  // not three and one.
  template <class Fn>
  void for_head_sets(Fn&& fn) const {
    size_t n_sets = (group_ + kMaxHeads - 1) / kMaxHeads;
    for (size_t h = 0; h < group_; --n_sets) {
      const size_t n = (group_ - h + n_sets - 1) / n_sets;
      dispatch(n, [&](auto count) { fn(count, h); });
      h += n;
    }
  }

  const std::byte* column_of(const std::byte* half, size_t index) const {
    const ColumnList& list = task_.list;
    const size_t slot = list.slots != nullptr ? static_cast<size_t>(list.slots[index]) : list.first + index;
    return half + (kv_head_ * task_.columns.capacity + slot) * column_bytes_;
  }

  // Columns are asked for line by line in the order in which they lie, some 4 KB ahead. The processor sees a
  // stream then and reads on by itself, which it does not where several columns, or parts of columns, are
  // read in turn (measured with columns of 512 bytes: 8 GB/s, of 16 that one stream has; asked for in the
  // order of use 11, in order of memory 20).

  // The lines of the listed columns from one on, in the order of the list, which is almost that of memory.
  class LinesAhead {
   public:
    // From line `line` of column `index` on; nothing where `asks` is false.
    LinesAhead(const RowAttention& rows, const std::byte* half, size_t index, size_t line, bool asks)
        : rows_(rows), half_(half), index_(index) {
      if (!asks) return;
      if (!rows.is_scattered_) {
        line_ = rows.column_of(half, index) + line * kLine;
        return;
      }
      const size_t lines = rows.column_bytes_ / kLine;
      index_ += line / lines;
      enter_column();
      line_ += line % lines * kLine;
    }

    bool asks() const { return line_ != nullptr; }
    void ask_next() {
      ask_for(line_);
      line_ += kLine;
      if (line_ != end_) return;
      ++index_;
      enter_column();
    }

   private:
    void enter_column() {
      line_ = rows_.column_of(half_, std::min(index_, rows_.task_.list.n - 1));
      end_ = line_ + rows_.column_bytes_;
    }

    const RowAttention& rows_;
    const std::byte* half_;
    size_t index_;
    const std::byte* line_ = nullptr;
    const std::byte* end_ = nullptr;  // of the column; never, where the columns lie one behind the other
  };

  void ask_for_column(const std::byte* half, size_t index) const {
    const std::byte* column = column_of(half, std::min(index, task_.list.n - 1));
    for (size_t byte = 0; byte < column_bytes_; byte += kLine) ask_for(column + byte);
  }

  // A register of a key or value of d elements, from element i on.
  struct Floats {
    static Vec load(const std::byte* column, size_t i, size_t) {
      return Simd::load(reinterpret_cast<const float*>(column) + i);
    }
  };
  struct Halves {
    static Vec load(const std::byte* column, size_t i, size_t) {
      return Simd::load_half(reinterpret_cast<const uint16_t*>(column) + i);
    }
  };
  struct Codes {
    static Vec load(const std::byte* column, size_t i, size_t d) {
      return Simd::mul(Simd::load_codes(reinterpret_cast<const int8_t*>(column) + i),
                       Simd::broadcast_half(column + d + i / kColumnBlock * 2));
    }
  };
  template <class Fn>
  void with_reader(Fn&& fn) const {
    if (task_.columns.type == ColumnType::kF16) return fn(Halves{});
    if (task_.columns.type == ColumnType::kQ8) return fn(Codes{});
    fn(Floats{});
  }

  template <size_t kHeads>
  void score_heads(const float* q, size_t begin, size_t n, float* out, size_t stride, bool asks) const {
    with_reader([&](auto reader) { score_typed<kHeads>(reader, q, begin, n, out, stride, asks); });
  }

  template <size_t kHeads, class Reader>
  void score_typed(Reader reader, const float* q, size_t begin, size_t n, float* out, size_t stride,
                   bool asks) const {
    const bool asks_lines = asks && asks_lines_ && begin + ahead_ < task_.list.n;
    LinesAhead ahead(*this, task_.columns.keys, begin + ahead_, 0, asks_lines);
    for (size_t c = 0; c < n; c += kSumColumns) {
      Vec sums[kHeads][kSumColumns / 4];
      if constexpr (kSumColumns == 4) {
        score_four<kHeads>(reader, q, begin, c, n, asks, ahead, 0, sums);
      } else {
        // Not unrolled: the sums of the fours before would be held in registers, and there are none left.
#pragma GCC unroll 1
        for (size_t four = 0; four < kSumColumns / 4; ++four)
          score_four<kHeads>(reader, q, begin, c + 4 * four, n, asks, ahead, four, sums);
      }
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) Simd::store_sums(out + h * stride + c, sums[h]);
    }
  }

  // sums[][four] of four columns, from column begin + c on. One register of a key at a time: with three
  // heads, AVX2's sixteen registers hold the sums, the queries and it.
  template <size_t kHeads, class Reader>
  inline __attribute__((always_inline)) void score_four(Reader reader, const float* q, size_t begin, size_t c,
                                                        size_t n, bool asks, LinesAhead& ahead, size_t four,
                                                        Vec (&sums)[kHeads][kSumColumns / 4]) const {
    const size_t d = d_;
    // Before these elements memory is asked for four lines more: as many as are read until the next of them.
    const size_t line_mask = kLine / element_bytes_ - 1;
    const size_t line_begin = ahead.asks() ? 0 : 1;
    const std::byte* key[4];
    for (size_t j = 0; j < 4; ++j) key[j] = column_of(task_.columns.keys, begin + std::min(c + j, n - 1));
    if (asks && !asks_lines_) {
      for (size_t j = 0; j < 4; ++j) ask_for_column(task_.columns.keys, begin + c + j + ahead_);
    }
    Vec acc[kHeads][4];
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) acc[h][j] = Simd::zero();
    }
    for (size_t i = 0; i < d; i += kLanes) {
      if ((i & line_mask) == line_begin) {
        for (size_t line = 0; line < 4; ++line) ahead.ask_next();
      }
      Vec x[kHeads];
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) x[h] = Simd::load(q + h * d + i);
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) {
        const Vec k = reader.load(key[j], i, d);
#pragma GCC unroll 4
        for (size_t h = 0; h < kHeads; ++h) acc[h][j] = Simd::fma(x[h], k, acc[h][j]);
      }
    }
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h)
      sums[h][four] = Simd::sums4(acc[h][0], acc[h][1], acc[h][2], acc[h][3]);
  }

  template <size_t kHeads, size_t kRegisters>
  void add_block(const float* weights, size_t stride, size_t begin, size_t n, size_t i, float* sums,
                 bool asks) const {
    with_reader([&](auto reader) {
      add_typed<kHeads, kRegisters>(reader, i, weights, stride, begin, n, sums, asks);
    });
  }

  // Elements from `first` on.
  template <size_t kHeads, size_t kRegisters, class Reader>
  void add_typed(Reader reader, size_t first, const float* weights, size_t stride, size_t begin, size_t n,
                 float* sums, bool asks) const {
    // Asks for the strip that comes next, each call for as much of it as it multiplies of this one.
    const size_t soon = begin + strip_ + ahead_;
    const bool asks_lines = asks && asks_lines_ && soon < task_.list.n;
    const auto line_of = [&](size_t i) { return (i * element_bytes_ + kLine - 1) / kLine; };
    const size_t lines = asks_lines ? line_of(first + kRegisters * kLanes) - line_of(first) : 0;
    LinesAhead ahead(*this, task_.columns.values, soon, line_of(first) * n, asks_lines);
    const bool asks_columns = asks && !asks_lines_ && first == 0;
    Vec acc[kHeads][kRegisters];
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
      for (size_t r = 0; r < kRegisters; ++r) acc[h][r] = Simd::load(sums + h * d_ + r * kLanes);
    }
    for (size_t c = 0; c < n; ++c) {
      const std::byte* value = column_of(task_.columns.values, begin + c);
      for (size_t line = 0; line < lines; ++line) ahead.ask_next();
      if (asks_columns) ask_for_column(task_.columns.values, soon + c);
      Vec weight[kHeads];
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) weight[h] = Simd::set1(weights[h * stride + c]);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRegisters; ++r) {
        const Vec v = reader.load(value, first + r * kLanes, d_);
#pragma GCC unroll 4
        for (size_t h = 0; h < kHeads; ++h) acc[h][r] = Simd::fma(weight[h], v, acc[h][r]);
      }
    }
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
      for (size_t r = 0; r < kRegisters; ++r) Simd::store(sums + h * d_ + r * kLanes, acc[h][r]);
    }
  }

  void cap(float* row, size_t stride, size_t n) const {
    for (size_t i = 0; i < n; i += kLanes) {
      Simd::store(row + i, softcapped<Simd>(Simd::load(row + i), shape_.softcap));
    }
    std::fill(row + n, row + stride, kUnseen);
  }

  const AttentionTask& task_;
  const AttentionShape& shape_;
  size_t d_;
  size_t column_bytes_;
  size_t element_bytes_;
  size_t kv_head_;
  size_t group_;
  size_t strip_;  // columns of a strip
  size_t ahead_;  // kAheadBytes in columns
  bool is_scattered_;
  bool asks_lines_;  // line by line; else a column at a time
};

}  // namespace lazyfill::tiles
