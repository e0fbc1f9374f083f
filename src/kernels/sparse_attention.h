// Attention that leaves out the columns which a block of rows hardly looks at.
//
// A few rows of the block are asked first: their attention over all columns is computed, and the fewest
// groups of neighbouring columns that hold a given share of it are kept, for all rows of the block and all
// query heads that share a kv head. So the threshold is a share of attention as in XAttention (arXiv
// 2503.16428), but what it is taken of are true probabilities of sampled rows, as MInference (arXiv
// 2407.02490) takes them of the last ones: antidiagonal sums and pooled keys, which cost as much,
// underestimate single strong columns (docs/performance.md). The kernel sees nothing of this: what is kept is
// a ColumnList.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"

namespace lazyfill {

// Neighbouring columns that stay or go together: less noise of the sample, and whole lines of memory.
inline constexpr size_t kSparseGroup = 16;
// Rows that share a choice, and how many of them are asked. What a block's sample costs is about a twentieth
// of its dense attention.
inline constexpr size_t kSparseRows = 96;
inline constexpr size_t kSparseSample = 5;
// The columns just before a block are always seen, like the block's own and the first group.
inline constexpr size_t kSparseNear = 64;
// Below, there is too little to leave out.
inline constexpr size_t kSparseMinRows = 32;
inline constexpr size_t kSparseMinColumns = 512;

// Whether a block of rows can leave out columns at all: many rows that see everything before them.
bool fits_sparse_attention(const AttentionTask& task);

// kept [ceil(n / kSparseGroup)]: which groups of the columns 0 .. n-1, n = weights.size(), a block keeps
// whose rows' own columns begin at first_own: the first group, all from kSparseNear columns before first_own
// on, and of the others those with the largest sums of weights, the fewest with which the kept ones hold at
// least `mass` of all weights. Of equal groups the older one.
void choose_groups(std::span<const float> weights, size_t first_own, float mass, std::vector<uint8_t>& kept);

// out as attention() gives it, over the chosen columns alone. mass is above 0; with 1 and more every column
// that has any weight in the sample is kept. `pairs` (may be null) grows by the pairs of row and column.
void sparse_attention(const Kernels& kernels, const AttentionTask& task, float mass, float* out, Team team,
                      AttentionScratch& scratch, AttentionPairs* pairs = nullptr);

}  // namespace lazyfill
