// The two kinds of tile registers that the loops of this folder are written for: those of the processor, and
// plain C++ that does the same on any machine, for tests. All eight are whole: 16 rows of 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lazyfill::amx {

inline constexpr size_t kTileRows = 16;
inline constexpr size_t kTileInputs = 64;  // signed bytes of a row
inline constexpr size_t kTileBytes = kTileRows * kTileInputs;
inline constexpr size_t kTileSums = kTileRows * 16;  // int32

// What `ldtilecfg` reads.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t n_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// The processor's. They hold something from the constructor to the destructor, so that a thread that does
// something else carries no tiles through a context switch, and other users of tiles find none of ours. In
// `asm`, for the intrinsics take no number from a template.
class ProcessorTiles {
 public:
  ProcessorTiles() {
    const TileConfig config;
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~ProcessorTiles() { asm volatile("tilerelease" : : : "memory"); }
  ProcessorTiles(const ProcessorTiles&) = delete;
  ProcessorTiles& operator=(const ProcessorTiles&) = delete;

  template <int T>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  // kTileBytes, contiguous.
  template <int T>
  static void load(const void* from) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(kTileInputs), "i"(T) : "memory");
  }
  template <int T>
  static void store(void* to) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(kTileInputs), "i"(T) : "memory");
  }
  // Sums [16 rows][16 outputs] += Rows [16 rows][64 inputs] . Weights [16 groups][16 outputs][4 inputs], all
  // bytes signed.
  template <int Sums, int Rows, int Weights>
  static void dot() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(Rows), "i"(Weights));
  }
};

// The same in memory.
class EmulatedTiles {
 public:
  template <int T>
  void zero() {
    std::memset(tiles_[T], 0, kTileBytes);
  }
  template <int T>
  void load(const void* from) {
    std::memcpy(tiles_[T], from, kTileBytes);
  }
  template <int T>
  void store(void* to) {
    std::memcpy(to, tiles_[T], kTileBytes);
  }
  template <int Sums, int Rows, int Weights>
  void dot() {
    for (size_t r = 0; r < kTileRows; ++r) {
      for (size_t o = 0; o < 16; ++o) {
        uint32_t sum = 0;  // wraps, as the processor's does
        std::memcpy(&sum, tiles_[Sums][r] + 4 * o, 4);
        for (size_t i = 0; i < kTileInputs; ++i)
          sum += static_cast<uint32_t>(tiles_[Rows][r][i] * tiles_[Weights][i / 4][4 * o + i % 4]);
        std::memcpy(tiles_[Sums][r] + 4 * o, &sum, 4);
      }
    }
  }

 private:
  int8_t tiles_[8][kTileRows][kTileInputs] = {};
};

}  // namespace lazyfill::amx
