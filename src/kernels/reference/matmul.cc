#include "kernels/reference/matmul.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/packing.h"

namespace lazyfill::reference {
namespace {

size_t row_bytes_of(gguf::TensorType type, size_t n_in) {
  const auto traits = gguf::traits_of(type);  // begin_pack has checked that it is known
  return n_in / traits->block_elements * traits->block_bytes;
}

// Outputs [out, out + kPanel) to panel [n_in, kPanel], zeros beyond n_out: side by side, so that the compiler
// can compute several outputs at once without changing the order of any sum.
void dequantize_panel(const PackedMatrix& w, size_t out, std::vector<float>& row, std::vector<float>& panel) {
  const auto type = static_cast<gguf::TensorType>(w.layout);
  const size_t row_bytes = row_bytes_of(type, w.n_in);
  std::fill(panel.begin(), panel.end(), 0.0F);
  for (size_t p = 0; p < std::min(kPanel, w.n_out - out); ++p) {
    (void)gguf::dequantize(type, w.bytes.data() + (out + p) * row_bytes, w.n_in, row.data());
    for (size_t i = 0; i < w.n_in; ++i) panel[i * kPanel + p] = row[i];
  }
}

}  // namespace

Result<PackedMatrix> begin_pack(const RawMatrix& raw) {
  const Result<size_t> row_bytes = checked_row_bytes(raw);
  if (!row_bytes) return tl::unexpected(row_bytes.error());
  Result<Buffer<std::byte>> bytes = make_buffer(*row_bytes * raw.n_out);
  if (!bytes) return tl::unexpected(bytes.error());
  PackedMatrix packed;
  packed.n_out = raw.n_out;
  packed.n_in = raw.n_in;
  packed.layout = static_cast<int>(raw.type);
  packed.row_format = RowFormat::kF32;
  packed.bytes = std::move(*bytes);
  return packed;
}

void pack_outputs(const RawMatrix& rows, PackedMatrix& packed, size_t out_begin) {
  const size_t row_bytes = row_bytes_of(rows.type, rows.n_in);
  std::memcpy(packed.bytes.data() + out_begin * row_bytes, rows.data, rows.n_out * row_bytes);
}

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat /*format*/,
               const Precision& /*precision*/, PackedRows& rows) {
  rows.format = RowFormat::kF32;
  rows.n_rows = n_rows;
  rows.n_in = n_in;
  rows.bytes.ensure(n_rows * n_in * sizeof(float));
  std::memcpy(rows.bytes.data(), x, n_rows * n_in * sizeof(float));
}

void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate) {
  const size_t n_in = w.n_in;
  const auto* rows = reinterpret_cast<const float*>(x.bytes.data());  // [n_rows, n_in]
  std::vector<float> row(n_in);
  std::vector<float> panel(n_in * kPanel);  // [n_in, kPanel]
  for (size_t o = out_begin; o < out_end; o += kPanel) {
    dequantize_panel(w, o, row, panel);
    const size_t n_here = std::min(kPanel, out_end - o);
    for (size_t r = 0; r < x.n_rows; ++r) {
      std::array<float, kPanel> sums{};
      for (size_t i = 0; i < n_in; ++i) {
        for (size_t p = 0; p < kPanel; ++p) sums[p] += rows[r * n_in + i] * panel[i * kPanel + p];
      }
      float* to = out + r * ld_out + o;
      for (size_t p = 0; p < n_here; ++p) to[p] = accumulate ? to[p] + sums[p] : sums[p];
    }
  }
}

}  // namespace lazyfill::reference
