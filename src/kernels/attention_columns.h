// Keys and values of a tile of columns on their way from the cache to the words that tiled attention
// multiplies: once for all lanes of a block. Simd and Products are those of attention_tiles.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/attention_block.h"
#include "kernels/kernels.h"
#include "kernels/reference/attention.h"

namespace lazyfill::tiles {

template <class Simd, class Products>
class TileColumns {
  using Vec = typename Simd::Vec;
  static constexpr size_t kLanes = Simd::kLanes;
  static constexpr int kRows = Simd::kBlockRows;
  static constexpr size_t kPair = Products::kPair;
  static constexpr size_t kAhead = 8;

 public:
  TileColumns(const AttentionTask& task, size_t kv_head)
      : task_(task),
        kv_head_(kv_head),
        d_(task.shape.head_dim),
        k_words_(task.shape.head_dim / kPair),
        column_bytes_(column_bytes(task.columns.type, task.shape.head_dim)) {}

  // Keys and values of n columns from `begin` on, to m.keys and m.values, with their scales where products
  // have them; zeros up to a whole number of register blocks.
  void load(size_t begin, size_t n, const BlockMemory& m) const {
    if constexpr (Products::kScaled) {
      load_scaled(begin, n, m);
    } else {
      load_plain(begin, n, m);
    }
  }

 private:
  const uint16_t* half_column(const std::byte* half, size_t index) const {
    return reinterpret_cast<const uint16_t*>(column_of(half, index));
  }
  const std::byte* column_of(const std::byte* half, size_t index) const {
    const ColumnList& list = task_.list;
    const size_t slot = list.slots != nullptr ? static_cast<size_t>(list.slots[index]) : list.first + index;
    return half + (kv_head_ * task_.columns.capacity + slot) * column_bytes_;
  }

  void ask_for(const std::byte* column) const {
    for (size_t byte = 0; byte < column_bytes_; byte += 64)
      asm volatile("prefetcht0 %0" : : "m"(column[byte]));
  }

  void load_plain(size_t begin, size_t n, const BlockMemory& m) const {
    const size_t padded = (n + kRows - 1) / kRows * kRows;
    const ColumnsView& columns = task_.columns;
    const bool halves = columns.type == ColumnType::kF16;
    for (size_t c = 0; c < n; ++c) {
      uint32_t* key = m.keys + c * k_words_;
      if (halves) {
        Products::load_key(half_column(columns.keys, begin + c), d_, key);
      } else {
        Products::load_key(column(columns.keys, begin + c, m.floats), d_, key);
      }
    }
    std::fill(m.keys + n * k_words_, m.keys + padded * k_words_, 0U);
    for (size_t c = 0; c < n; c += kPair) {
      uint32_t* words = m.values + c / kPair * d_;
      const bool second = c + 1 < n;
      const size_t next = begin + (second ? c + 1 : c);
      if (halves) {
        Products::load_values(half_column(columns.values, begin + c), half_column(columns.values, next),
                              second, d_, words);
      } else {
        const float* value = column(columns.values, begin + c, m.floats);
        Products::load_values(value, column(columns.values, next, m.floats + d_), second, d_, words);
      }
    }
    const size_t pairs = (n + kPair - 1) / kPair;
    std::fill(m.values + pairs * d_, m.values + padded / kPair * d_, 0U);
  }

  // A scale for each key, and for each element of the values over the whole tile.
  void load_scaled(size_t begin, size_t n, const BlockMemory& m) const {
    const ColumnType type = task_.columns.type;
    if (type == ColumnType::kF16) return load_scaled_of<ColumnType::kF16>(begin, n, m);
    if (type == ColumnType::kQ8) return load_scaled_of<ColumnType::kQ8>(begin, n, m);
    load_scaled_of<ColumnType::kF32>(begin, n, m);
  }

  template <ColumnType Type>
  void load_scaled_of(size_t begin, size_t n, const BlockMemory& m) const {
    const std::byte* at[kTileColumns];
    for (size_t c = 0; c < n; ++c) at[c] = column_of(task_.columns.keys, begin + c);
    for (size_t c = 0; c < n; ++c) {
      ask_for(at[std::min(c + kAhead, n - 1)]);
      ask_for(column_of(task_.columns.values, begin + c));
      m.key_scale[c] = Products::pack_vector([&](size_t i) { return elements<Type>(at[c], i); }, d_,
                                             m.keys + c * k_words_);
    }
    for (size_t c = 0; c < n; ++c) at[c] = column_of(task_.columns.values, begin + c);
    Products::pack_values([&](size_t c, size_t i) { return elements<Type>(at[c], i); }, n, d_, m.values,
                          m.value_scale);
    const size_t padded = (n + kRows - 1) / kRows * kRows;
    std::fill(m.key_scale + n, m.key_scale + padded, 0.0F);
    std::fill(m.keys + n * k_words_, m.keys + padded * k_words_, 0U);
    std::fill(m.values + (n + 1) / 2 * d_, m.values + padded / 2 * d_, 0U);
  }

  // The elements of a column from i on, a multiple of kLanes.
  template <ColumnType Type>
  Vec elements(const std::byte* column, size_t i) const {
    if constexpr (Type == ColumnType::kF32) return Simd::load(reinterpret_cast<const float*>(column) + i);
    if constexpr (Type == ColumnType::kF16)
      return Simd::load_half(reinterpret_cast<const uint16_t*>(column) + i);
    const Vec scale = Simd::broadcast_half(column + d_ + i / kColumnBlock * 2);
    return Simd::mul(Simd::load_codes(reinterpret_cast<const int8_t*>(column) + i), scale);
  }

  // A column as floats: where it lies, or converted to `room`.
  const float* column(const std::byte* half, size_t index, float* room) const {
    const std::byte* at = column_of(half, index);
    if (task_.columns.type == ColumnType::kF32) return reinterpret_cast<const float*>(at);
    if (task_.columns.type == ColumnType::kF16) {
      const auto* halves = reinterpret_cast<const uint16_t*>(at);
      for (size_t i = 0; i < d_; i += 8) Simd::convert_8_halves(halves + i, room + i);
    } else if (d_ % kColumnBlock != 0) {
      reference::load_column(ColumnType::kQ8, at, d_, room);
    } else {
      for (size_t i = 0; i < d_; i += kLanes) {
        const Vec scale = Simd::broadcast_half(at + d_ + i / kColumnBlock * 2);
        Simd::store(room + i, Simd::mul(Simd::load_codes(reinterpret_cast<const int8_t*>(at) + i), scale));
      }
    }
    return room;
  }

  const AttentionTask& task_;
  size_t kv_head_;
  size_t d_;
  size_t k_words_;
  size_t column_bytes_;
};

}  // namespace lazyfill::tiles
