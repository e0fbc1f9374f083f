// Attention shared by threads: the same for every instruction set.
#pragma once

#include <cstddef>
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

  struct PerThread {
    Buffer<std::byte> kernel;  // for the kernels' own use
    Buffer<float> shared;      // partial results of a call that this thread began
  };
  PerThread& of(size_t thread) { return threads_[thread]; }

 private:
  std::vector<PerThread> threads_;
};

// out [n_rows, n_heads * head_dim]: softmax(scale * q.k) v for all heads.
//
// Many rows are dealt out by kv head and row tile, few rows by kv head and column part. How a task is cut
// depends on its sizes alone, so the result is the same bits for every team. Blocks of 64 to 128 neighbouring
// rows work best: a tile of columns is converted once for all rows of a block and all query heads that share
// it.
void attention(const Kernels& kernels, const AttentionTask& task, float* out, Team team,
               AttentionScratch& scratch);

// probs [n_rows, list.n]: each row's attention probabilities, mean over the query heads, zero outside its
// range. LazyLLM's score of a token (arXiv 2407.14057, section 3.2) where q is the last row.
void mean_attention_probs(const Kernels& kernels, const AttentionTask& task, float* probs, Team team,
                          AttentionScratch& scratch);

}  // namespace lazyfill
