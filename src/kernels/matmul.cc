#include "kernels/matmul.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

#include "kernels/packing.h"

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

// Read at a time while packing: enough that the system call costs nothing, and it stays in the core's cache.
constexpr size_t kPieceBytes = size_t{1} << 20;

}  // namespace

Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, Team team) {
  Result<PackedMatrix> packed = kernels.begin_pack(raw);
  const Result<size_t> row_bytes = checked_row_bytes(raw);
  if (!packed || !row_bytes) return packed;
  for_each_chunk(raw.n_out, kernels.pack_granularity, team, [&](size_t begin, size_t end) {
    kernels.pack_outputs({raw.type, raw.data + begin * *row_bytes, end - begin, raw.n_in}, *packed, begin);
  });
  return packed;
}

Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, ReadOutputs read, Team team) {
  Result<PackedMatrix> packed = kernels.begin_pack(raw);
  const Result<size_t> row_bytes = checked_row_bytes(raw);
  if (!packed || !row_bytes) return packed;
  const size_t granularity = kernels.pack_granularity;
  const size_t piece = std::max<size_t>(1, kPieceBytes / *row_bytes / granularity) * granularity;
  std::atomic<bool> failed{false};
  std::mutex error_mutex;
  Error error;  // the first one
  for_each_chunk(raw.n_out, granularity, team, [&](size_t chunk_begin, size_t chunk_end) {
    const size_t n_at_once = std::min(piece, chunk_end - chunk_begin);
    const auto blocks = std::make_unique_for_overwrite<std::byte[]>(n_at_once * *row_bytes);
    for (size_t begin = chunk_begin; begin < chunk_end && !failed; begin += n_at_once) {
      const size_t end = std::min(begin + n_at_once, chunk_end);
      if (const auto done = read(begin, end, blocks.get()); !done) {
        const std::scoped_lock lock(error_mutex);
        if (!failed.exchange(true)) error = done.error();
        return;
      }
      kernels.pack_outputs({raw.type, blocks.get(), end - begin, raw.n_in}, *packed, begin);
    }
  });
  if (failed) return tl::unexpected(error);
  return packed;
}

void multiply(const Kernels& kernels, std::span<const Product> products, Team team) {
  size_t n_outputs = 0;
  for (const Product& product : products) n_outputs += product.w->n_out;
  const size_t n_wanted = n_chunks_for(n_outputs, kernels.pack_granularity, team);
  const auto chunks_of = [&](const Product& product) {
    return std::max<size_t>(1, (n_wanted * product.w->n_out + n_outputs / 2) / n_outputs);
  };
  size_t n_chunks = 0;
  for (const Product& product : products) n_chunks += chunks_of(product);
  team.for_each(n_chunks, [&](size_t chunk, size_t) {
    for (const Product& product : products) {
      const size_t n = chunks_of(product);
      if (chunk >= n) {
        chunk -= n;
        continue;
      }
      do_chunk(product.w->n_out, kernels.pack_granularity, chunk, n, [&](size_t begin, size_t end) {
        if (begin == end) return;
        kernels.matmul(*product.w, *product.x, begin, end, product.out, product.ld_out, product.accumulate);
      });
      return;
    }
  });
}

void matmul(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out, size_t ld_out,
            bool accumulate, Team team) {
  const Product product{&w, &x, out, ld_out, accumulate};
  multiply(kernels, {&product, 1}, team);
}

}  // namespace lazyfill
