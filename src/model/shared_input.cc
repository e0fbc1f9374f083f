#include "model/shared_input.h"

#include <algorithm>
#include <iterator>

namespace lazyfill {

void SharedInput::set(const Kernels& kernels, const float* x, size_t n_rows, size_t n_in) {
  kernels_ = &kernels;
  x_ = x;
  n_rows_ = n_rows;
  n_in_ = n_in;
  std::fill(std::begin(valid_), std::end(valid_), false);
}

const PackedRows& SharedInput::as(RowFormat format, const Precision& precision) {
  const auto index = static_cast<size_t>(format);
  if (!valid_[index] || !(precision_[index] == precision))
    kernels_->pack_rows(x_, n_rows_, n_in_, format, precision, packed_[index]);
  valid_[index] = true;
  precision_[index] = precision;
  return packed_[index];
}

}  // namespace lazyfill
