#include "kernels/matmul.h"

#include <algorithm>

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

}  // namespace lazyfill
