#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {
namespace {

// Chunks a thread: enough that a thread which is held up (an interrupt, a busy neighbour) loses only a part
// of its share to the others, few enough that handing out costs nothing.
constexpr size_t kChunksPerThread = 4;

// Calls fn(out_begin, out_end) for one of n_chunks parts of [0, n_out), a multiple of the granularity.
template <class Fn>
void do_chunk(size_t n_out, size_t granularity, size_t chunk, size_t n_chunks, Fn fn) {
  const size_t n_panels = (n_out + granularity - 1) / granularity;
  const size_t begin = n_panels * chunk / n_chunks * granularity;
  const size_t end = std::min(n_out, n_panels * (chunk + 1) / n_chunks * granularity);
  fn(begin, end);
}

size_t n_chunks_for(size_t n_out, size_t granularity, Team team) {
  const size_t n_panels = (n_out + granularity - 1) / granularity;
  return team.n_threads() == 1 ? 1 : std::min(n_panels, team.n_threads() * kChunksPerThread);
}

// Calls fn(out_begin, out_end) over [0, n_out) in chunks that are multiples of the granularity.
template <class Fn>
void for_each_chunk(size_t n_out, size_t granularity, Team team, Fn fn) {
  const size_t n_chunks = n_chunks_for(n_out, granularity, team);
  team.for_each(n_chunks, [&](size_t chunk, size_t) { do_chunk(n_out, granularity, chunk, n_chunks, fn); });
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

// out (+)= sums of the outputs [begin, end): of a row of 16 bits both halves.
void add_halves(const float* sums, const Product& product, size_t begin, size_t end) {
  const size_t n_out = product.w->n_out;
  const MixedRows& x = *product.x;
  for (size_t row = 0; row < x.n_rows; ++row) {
    const float* high = sums + row * n_out;
    const float* low = row < x.n_plain ? nullptr : sums + (x.n_rows + row - x.n_plain) * n_out;
    float* out = product.out + row * product.ld_out;
    for (size_t o = begin; o < end; ++o) {
      const float sum = low == nullptr ? high[o] : high[o] + low[o];
      out[o] = product.accumulate ? out[o] + sum : sum;
    }
  }
}

// A product whose rows need no adding up goes straight to its output.
bool has_halves(const Product& product) {
  return product.x->packed.n_rows > product.x->n_rows;
}

void multiply_outputs(const Kernels& kernels, const Product& product, float* sums, size_t begin, size_t end) {
  const PackedRows& rows = product.x->packed;
  if (!has_halves(product)) {
    kernels.matmul(*product.w, rows, begin, end, product.out, product.ld_out, product.accumulate);
    return;
  }
  kernels.matmul(*product.w, rows, begin, end, sums, product.w->n_out, false);
  add_halves(sums, product, begin, end);
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

void pack_rows_mixed(const Kernels& kernels, const float* x, size_t n_rows, size_t n_plain, size_t n_in,
                     RowFormat format, Buffer<float>& split, MixedRows& rows) {
  rows.n_rows = n_rows;
  rows.n_plain = n_plain;
  if (format != RowFormat::kQ8 || n_plain == n_rows) {
    kernels.pack_rows(x, n_rows, n_in, format, rows.packed);
    return;
  }
  const size_t n_packed = 2 * n_rows - n_plain;
  split.ensure(n_packed * n_in);
  std::copy_n(x, n_plain * n_in, split.data());
  for (size_t row = n_plain; row < n_rows; ++row) {
    float* low = split.data() + (n_rows + row - n_plain) * n_in;
    split_row(x + row * n_in, n_in, split.data() + row * n_in, low);
  }
  kernels.pack_rows(split.data(), n_packed, n_in, format, rows.packed);
}

void multiply(const Kernels& kernels, std::span<const Product> products, Buffer<float>& sums, Team team) {
  size_t n_sums = 0;
  size_t n_outputs = 0;
  for (const Product& product : products) {
    if (has_halves(product)) n_sums += product.x->packed.n_rows * product.w->n_out;
    n_outputs += product.w->n_out;
  }
  sums.ensure(n_sums);
  const size_t n_wanted = n_chunks_for(n_outputs, kernels.pack_granularity, team);
  const auto chunks_of = [&](const Product& product) {
    return std::max<size_t>(1, (n_wanted * product.w->n_out + n_outputs / 2) / n_outputs);
  };
  size_t n_chunks = 0;
  for (const Product& product : products) n_chunks += chunks_of(product);
  team.for_each(n_chunks, [&](size_t chunk, size_t) {
    float* own_sums = sums.data();
    for (const Product& product : products) {
      const size_t n = chunks_of(product);
      if (chunk < n) {
        do_chunk(product.w->n_out, kernels.pack_granularity, chunk, n, [&](size_t begin, size_t end) {
          if (begin < end) multiply_outputs(kernels, product, own_sums, begin, end);
        });
        return;
      }
      chunk -= n;
      if (has_halves(product)) own_sums += product.x->packed.n_rows * product.w->n_out;
    }
  });
}

}  // namespace lazyfill
