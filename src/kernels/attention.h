// Attention shared by threads: the same for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lazyfill {

// Working memory, grown on first use and kept: nothing is allocated in the token loop. One scratch may be
// used by all threads of a pool at once, each under its own Team::alone(thread), or by one call under
// Team::all.
class AttentionScratch {
 public:
  explicit AttentionScratch(size_t n_threads) : threads_(n_threads) {}

  // Pairs of row and column that sparse attention could see, and those that it kept.
  struct Pairs {
    uint64_t seen = 0;
    uint64_t kept = 0;
  };
  // Of sparse_attention(), for one block of rows.
  struct Sparse {
    std::vector<float> q;             // [sampled rows, n_heads * head_dim]
    std::vector<float> weights;       // [sampled rows, n_columns]
    std::vector<uint8_t> kept;        // [groups of columns]
    std::vector<int32_t> slots;       // of the kept columns
    std::vector<ColumnRange> ranges;  // [rows]
    Pairs pairs;
  };
  struct PerThread {
    Buffer<std::byte> kernel;  // for the kernels' own use
    Buffer<float> shared;      // partial results of a call that this thread began
    Sparse sparse;
  };
  PerThread& of(size_t thread) { return threads_[thread]; }

  // For pack_columns(), one for each sequence of a step.
  Buffer<std::byte>& packed(size_t sequence) {
    if (sequence >= packed_.size()) packed_.resize(sequence + 1);
    return packed_[sequence];
  }

  // Of all threads since the last call.
  Pairs take_pairs() {
    Pairs sum;
    for (PerThread& thread : threads_) {
      sum.seen += thread.sparse.pairs.seen;
      sum.kept += thread.sparse.pairs.kept;
      thread.sparse.pairs = {};
    }
    return sum;
  }

 private:
  std::vector<PerThread> threads_;
  std::vector<Buffer<std::byte>> packed_;
};

// The same task for its rows [begin, end) alone.
AttentionTask rows_of(const AttentionTask& task, size_t begin, size_t end);

// out [n_rows, n_heads * head_dim]: softmax(scale * q.k) v for all heads.
//
// Many rows are dealt out by kv head and row tile, few rows by kv head and column part. How a task is cut
// depends on its sizes alone, so the result is the same bits for every team. Blocks of 64 to 128 neighbouring
// rows work best: a tile of columns is converted once for all rows of a block and all query heads that share
// it. last_row_alone: the last row is computed as if it were the only one, more precisely than in a block.
void attention(const Kernels& kernels, const AttentionTask& task, float* out, Team team,
               AttentionScratch& scratch, bool last_row_alone = false);

// Packs the columns of a task that many blocks of rows will see, to `room`, and lets the task read them
// there; leaves it as it is where its columns have no packed form.
void pack_columns(const Kernels& kernels, AttentionTask& task, Buffer<std::byte>& room, Team team);

// probs [n_rows, list.n]: each row's attention probabilities, mean over the query heads, zero outside its
// range. LazyLLM's score of a token (arXiv 2407.14057, section 3.2) where q is the last row.
void mean_attention_probs(const Kernels& kernels, const AttentionTask& task, float* probs, Team team,
                          AttentionScratch& scratch);

}  // namespace lazyfill
