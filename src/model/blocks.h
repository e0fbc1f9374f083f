// How the rows of a step are cut into blocks: what one thread carries through a layer while it stays in its
// cache. Where a block ends changes no bit of any row.
#pragma once

#include <cstddef>
#include <vector>

#include "model/layer.h"

namespace lazyfill {

// Neighbouring rows, of one sequence or several.
struct Block {
  size_t begin = 0;  // rows of the step
  size_t end = 0;
  size_t n_plain = 0;      // rows before those whose activations always have 16 bits
  bool of_prompt = false;  // all of its rows, or none
  size_t n_rows() const { return end - begin; }
  // For a product whose rows have 16 bits, or of which only the last ones have.
  Precision precision(bool precise) const { return {precise ? 0 : n_plain, of_prompt}; }
};

struct BlockPlan {
  std::vector<Block> blocks;
  bool shared = false;  // the threads take a block each; else all of them work on one after the other
};

// All rows (outputs_only: those whose output is wanted) in blocks of at most `max_rows` or a little more.
BlockPlan plan_blocks(const Rows& rows, bool outputs_only, size_t max_rows, size_t n_threads);

// Where the rows from `row` on that share a choice of columns end, in a view that may leave out some: counted
// from the view's first row, so that neighbours, which move the blocks, do not move it.
size_t end_of_choice(const View& view, size_t row);

}  // namespace lazyfill
