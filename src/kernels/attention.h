// Attention shared by threads: the same for every instruction set.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lazyfill {

// Pairs of row and column, over all kv heads, that sparse attention could see, and those that it kept.
struct AttentionPairs {
  std::atomic<uint64_t> seen{0};
  std::atomic<uint64_t> kept{0};
};

// Working memory, grown on first use and kept: nothing is allocated in the token loop. One scratch may be
// used by all threads of a pool at once, each under its own Team::alone(thread), or by one call under
// Team::all.
class AttentionScratch {
 public:
  explicit AttentionScratch(size_t n_threads) : threads_(n_threads) {}

  // Of sparse_attention(), for one block of rows.
  struct Sparse {
    std::vector<float> q;             // [sampled rows, n_heads * head_dim]
    std::vector<float> weights;       // [sampled rows, n_columns]
    std::vector<uint8_t> kept;        // [groups of columns]
    std::vector<int32_t> slots;       // of the kept columns
    std::vector<ColumnRange> ranges;  // [rows]
  };
  // Neighbouring rows of a group that read their columns of a piece together, in parts.
  struct Run {
    const AttentionTask* piece = nullptr;
    size_t begin = 0;  // rows of the piece
    size_t end = 0;
    ColumnRange seen;
    size_t part_columns = 0;
    size_t n_parts = 0;
    size_t first_float = 0;  // of its partial results
  };
  // Runs of the same rows over the pieces of a group: what is merged.
  struct Merge {
    size_t first_float = 0;
    size_t n_parts = 0;
    size_t n_rows = 0;
    float* out = nullptr;
  };
  struct PerThread {
    Buffer<std::byte> kernel;  // for the kernels' own use
    Buffer<float> shared;      // partial results of a call that this thread began
    std::vector<Run> runs;     // likewise
    std::vector<Merge> merges;
    Sparse sparse;
  };
  PerThread& of(size_t thread) { return threads_[thread]; }

 private:
  std::vector<PerThread> threads_;
};

// The same task for its rows [begin, end) alone.
AttentionTask rows_of(const AttentionTask& task, size_t begin, size_t end);

// How rows read columns. What a row is decides, never how many rows of whatever sequences are computed
// together: so its bits are the same in every batch.
enum class RowForm {
  kAlone,  // each row by itself, its columns shared by the threads: newest rows, drafts, very few rows
  kFew,    // in tiles of columns, which the threads share: rows that came back, a short question
  kMany,   // in tiles of columns, rows shared by the threads: a prompt
};
// The form of n rows that one sequence brings to a layer together, and that need not be alone.
RowForm form_of_rows(size_t n_rows);

// Rows of one sequence. `pieces` are what they see: tasks of the same rows and shape, whose softmaxes are
// merged; one of them more often than not. Of kAlone and kFew, all rows that are there in this layer.
struct AttentionGroup {
  std::span<const AttentionTask> pieces;
  RowForm form = RowForm::kMany;
  float* out = nullptr;  // [n_rows, n_heads * head_dim]: softmax(scale * q.k) v for all heads
};

// Attention of all groups. Work is dealt out by group, kv head, and row tile (kMany) or column part. How a
// group is cut depends on its own sizes alone, so the result is the same bits for every team and beside any
// other group. Blocks of 64 to 128 neighbouring rows work best for kMany: a tile of columns is converted once
// for all rows of a block and all query heads that share it.
void attention(const Kernels& kernels, std::span<const AttentionGroup> groups, Team team,
               AttentionScratch& scratch);

// The same for one group of one piece.
void attention(const Kernels& kernels, const AttentionTask& task, RowForm form, float* out, Team team,
               AttentionScratch& scratch);

// Packs the columns of a task that many blocks of rows will see, to `room`, and lets the task read them
// there; leaves it as it is where its columns have no packed form.
void pack_columns(const Kernels& kernels, AttentionTask& task, Buffer<std::byte>& room, Team team);

// probs [n_rows, list.n]: each row's attention probabilities, mean over the query heads, zero outside its
// range. LazyLLM's score of a token (arXiv 2407.14057, section 3.2) where q is the last row.
void mean_attention_probs(const Kernels& kernels, const AttentionTask& task, float* probs, Team team,
                          AttentionScratch& scratch);

}  // namespace lazyfill
