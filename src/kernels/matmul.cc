#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {
namespace {

// Chunks a thread: enough that a thread which is held up (an interrupt, a busy neighbour) loses only a part
// of its share to the others, few enough that handing out costs nothing.
constexpr size_t kChunksPerThread = 4;

// Calls fn(out_begin, out_end) over [0, n_out) in chunks that are multiples of the granularity.
template <class Fn>
void for_each_chunk(size_t n_out, size_t granularity, Team team, Fn fn) {
  const size_t n_panels = (n_out + granularity - 1) / granularity;
  const size_t n_chunks = team.n_threads() == 1 ? 1 : std::min(n_panels, team.n_threads() * kChunksPerThread);
  team.for_each(n_chunks, [&](size_t chunk, size_t) {
    const size_t begin = n_panels * chunk / n_chunks * granularity;
    const size_t end = std::min(n_out, n_panels * (chunk + 1) / n_chunks * granularity);
    fn(begin, end);
  });
}

constexpr size_t kBlock = 32;  // inputs that share a scale in RowFormat::kQ8

// Adding and taking away 1.5 * 2^23 rounds a small float to the nearest whole number, and, unlike nearbyint,
// in a vector register.
constexpr float kRound = 12582912.0F;

// x = high + low, high being what 8 bits keep of x: packing it again finds the same codes.
void split_row(const float* x, size_t n_in, float* high, float* low) {
  for (size_t begin = 0; begin < n_in; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, n_in);
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
    const float scale = largest / 127.0F;
    const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
    for (size_t i = begin; i < end; ++i) {
      high[i] = ((x[i] * inverse + kRound) - kRound) * scale;
      low[i] = x[i] - high[i];
    }
  }
}

void sum_halves(const float* products, size_t n_rows, size_t n_out, float* out, size_t ld_out,
                bool accumulate) {
  const float* low = products + n_rows * n_out;
  for (size_t row = 0; row < n_rows; ++row) {
    for (size_t o = 0; o < n_out; ++o) {
      const float sum = products[row * n_out + o] + low[row * n_out + o];
      out[row * ld_out + o] = accumulate ? out[row * ld_out + o] + sum : sum;
    }
  }
}

}  // namespace

Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, Team team) {
  Result<PackedMatrix> packed = kernels.begin_pack(raw);
  if (!packed) return packed;
  for_each_chunk(raw.n_out, kernels.pack_granularity, team,
                 [&](size_t begin, size_t end) { kernels.pack_outputs(raw, *packed, begin, end); });
  return packed;
}

void matmul(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out, size_t ld_out,
            bool accumulate, Team team) {
  for_each_chunk(w.n_out, kernels.pack_granularity, team, [&](size_t begin, size_t end) {
    kernels.matmul(w, x, begin, end, out, ld_out, accumulate);
  });
}

void pack_rows_precise(const Kernels& kernels, const float* x, size_t n_rows, size_t n_in, RowFormat format,
                       Buffer<float>& split, PackedRows& rows) {
  if (format != RowFormat::kQ8) {
    kernels.pack_rows(x, n_rows, n_in, format, rows);
    return;
  }
  split.ensure(2 * n_rows * n_in);
  float* high = split.data();
  for (size_t row = 0; row < n_rows; ++row) {
    split_row(x + row * n_in, n_in, high + row * n_in, high + (n_rows + row) * n_in);
  }
  kernels.pack_rows(high, 2 * n_rows, n_in, format, rows);
}

void matmul_precise(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out,
                    size_t ld_out, bool accumulate, Buffer<float>& products, Team team) {
  if (w.row_format != RowFormat::kQ8) {
    matmul(kernels, w, x, out, ld_out, accumulate, team);
    return;
  }
  products.ensure(x.n_rows * w.n_out);
  matmul(kernels, w, x, products.data(), w.n_out, false, team);
  sum_halves(products.data(), x.n_rows / 2, w.n_out, out, ld_out, accumulate);
}

}  // namespace lazyfill
