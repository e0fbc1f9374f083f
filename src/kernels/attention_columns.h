// Keys and values of a tile of columns on their way from the cache to the words that tiled attention
// multiplies: once for all lanes of a block. Simd and Products are those of attention_tiles.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

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
  static constexpr size_t kAhead = 8;  // keys that are asked for before they are packed

 public:
  TileColumns(const AttentionTask& task, size_t kv_head)
      : task_(task),
        kv_head_(kv_head),
        d_(task.shape.head_dim),
        k_words_(task.shape.head_dim / kPair),
        column_bytes_(column_bytes(task.columns.type, task.shape.head_dim)) {}

  // n columns from `begin` on, and zeros up to a whole number of register blocks: in m.tile or, where the
  // task's columns are packed, where they lie; `begin` is then a multiple of kTileColumns.
  Tile load(size_t begin, size_t n, const BlockMemory& m) const {
    if constexpr (Products::kScaled) {
      if (task_.packed != nullptr) return packed_tile(begin / kTileColumns);
      load_scaled(begin, n, m.tile);
    } else {
      load_plain(begin, n, m.tile, m.floats);
    }
    return {m.tile.keys, m.tile.values, m.tile.key_scale, m.tile.value_scale};
  }

  static size_t packed_bytes(const AttentionShape& shape) {
    const size_t words = kTileColumns * shape.head_dim / kPair;
    return (2 * words + kTileColumns + shape.head_dim) * sizeof(uint32_t);
  }

  // The tile with the columns from tile * kTileColumns on, to [packed_bytes].
  void pack(size_t tile, std::byte* to) const {
    const size_t begin = tile * kTileColumns;
    load_scaled(begin, std::min(kTileColumns, task_.list.n - begin), tile_at<TileMemory>(to));
  }

  // Asks for one of n parts of the tile with column `begin`, if it is packed: by the time that it is
  // multiplied it is near.
  void ask_for_part(size_t begin, size_t part, size_t n) const {
    if (task_.packed == nullptr || begin >= task_.list.n) return;
    const size_t bytes = packed_bytes(task_.shape);
    const std::byte* tile = packed_at(begin / kTileColumns);
    for (size_t at = bytes * part / n / 64 * 64; at < bytes * (part + 1) / n; at += 64)
      ask_for_in_second_level(tile + at);
  }

 private:
  // Where the parts of a packed tile are. All have the same size: [n_kv_heads, tiles].
  template <class T, class Bytes>
  T tile_at(Bytes* at) const {
    using Word = std::remove_pointer_t<decltype(T::keys)>;
    using Float = std::remove_pointer_t<decltype(T::key_scale)>;
    auto* words = reinterpret_cast<Word*>(at);
    const size_t n = kTileColumns * k_words_;
    auto* scales = reinterpret_cast<Float*>(words + 2 * n);
    return {words, words + n, scales, scales + kTileColumns};
  }
  const std::byte* packed_at(size_t tile) const {
    const size_t n_tiles = (task_.list.n + kTileColumns - 1) / kTileColumns;
    return task_.packed + (kv_head_ * n_tiles + tile) * packed_bytes(task_.shape);
  }
  Tile packed_tile(size_t tile) const { return tile_at<Tile>(packed_at(tile)); }

  const uint16_t* half_column(const std::byte* half, size_t index) const {
    return reinterpret_cast<const uint16_t*>(column_of(half, index));
  }
  const std::byte* column_of(const std::byte* half, size_t index) const {
    const ColumnList& list = task_.list;
    const size_t slot = list.slots != nullptr ? static_cast<size_t>(list.slots[index]) : list.first + index;
    return half + (kv_head_ * task_.columns.capacity + slot) * column_bytes_;
  }

  void ask_for_column(const std::byte* column) const {
    for (size_t byte = 0; byte < column_bytes_; byte += 64) ask_for(column + byte);
  }

  void load_plain(size_t begin, size_t n, const TileMemory& m, float* floats) const {
    const size_t padded = (n + kRows - 1) / kRows * kRows;
    const ColumnsView& columns = task_.columns;
    const bool halves = columns.type == ColumnType::kF16;
    for (size_t c = 0; c < n; ++c) {
      uint32_t* key = m.keys + c * k_words_;
      if (halves) {
        Products::load_key(half_column(columns.keys, begin + c), d_, key);
      } else {
        Products::load_key(column(columns.keys, begin + c, floats), d_, key);
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
        const float* value = column(columns.values, begin + c, floats);
        Products::load_values(value, column(columns.values, next, floats + d_), second, d_, words);
      }
    }
    const size_t pairs = (n + kPair - 1) / kPair;
    std::fill(m.values + pairs * d_, m.values + padded / kPair * d_, 0U);
  }

  // A scale for each key, and for each element of the values over the whole tile.
  void load_scaled(size_t begin, size_t n, const TileMemory& m) const {
    const ColumnType type = task_.columns.type;
    if (type == ColumnType::kF16) return load_scaled_of<ColumnType::kF16>(begin, n, m);
    if (type == ColumnType::kQ8) return load_scaled_of<ColumnType::kQ8>(begin, n, m);
    load_scaled_of<ColumnType::kF32>(begin, n, m);
  }

  template <ColumnType Type>
  void load_scaled_of(size_t begin, size_t n, const TileMemory& m) const {
    const std::byte* at[kTileColumns];
    for (size_t c = 0; c < n; ++c) at[c] = column_of(task_.columns.keys, begin + c);
    for (size_t c = 0; c < n; ++c) {
      ask_for_column(at[std::min(c + kAhead, n - 1)]);
      ask_for_column(column_of(task_.columns.values, begin + c));  // all are there when the keys are done
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
