// How many dropped tokens a decode step may bring back before answers are slower than dense ones. Pruning
// leaves columns unread; what that saves is what coming back may cost, and what one step does not spend the
// next ones may: an answer needs many rows at once and then none for a while. Its first tokens need the most,
// so it begins with a loan: a small part of the time that pruning has saved in the prompt.
//
// All in bytes that a step reads, or could read in the time: a decode step is as long as its reading takes.
#pragma once

#include <cstddef>

namespace lazyfill {

// What a decode step of a model reads.
struct DecodeBytes {
  size_t n_layers = 0;
  double weights = 0;        // of all layers and the output together, as far as one token needs them
  double layer_weights = 0;  // of one layer, mean
  double column = 0;         // key and value of one token in one layer
};

class RevivalBudget {
 public:
  // saved: what the steps before have left, as end_step() returned it.
  RevivalBudget(const DecodeBytes& bytes, double saved) : bytes_(bytes), left_(saved) {}

  // How many rows may come back at a layer (counted from 0) where n_columns stay, if all of them go on to the
  // top, beside n_rows that came back at layers below.
  size_t affordable(size_t layer, size_t n_columns, size_t n_rows) const;

  // The step leaves a layer, where the newest row saw n_seen columns of the n_dense that it would have seen
  // without pruning, and n_rows that came back were computed beside it.
  void leave_layer(size_t n_seen, size_t n_dense, size_t n_rows);

  // A choice among n_candidates was made, which takes time as well.
  void choose(size_t n_candidates);

  // The end of a step: what later ones may spend. is_prompt: the next step is the first of an answer.
  double end_step(bool is_prompt) const;

 private:
  double row_bytes(size_t n_columns) const;

  DecodeBytes bytes_;
  double left_;
  double earned_ = 0;
  double n_dense_ = 0;  // columns, all layers together
};

}  // namespace lazyfill
