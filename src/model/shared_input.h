#pragma once

#include "kernels/kernels.h"

namespace lazyfill {

// Rows that are multiplied with several matrices: converted at most once for a format and a precision.
class SharedInput {
 public:
  void set(const Kernels& kernels, const float* x, size_t n_rows, size_t n_in);
  const float* rows() const { return x_; }
  size_t n_rows() const { return n_rows_; }
  const PackedRows& as(RowFormat format, const Precision& precision);

 private:
  const Kernels* kernels_ = nullptr;
  const float* x_ = nullptr;
  size_t n_rows_ = 0;
  size_t n_in_ = 0;
  PackedRows packed_[3];  // by format
  bool valid_[3] = {};
  Precision precision_[3];
};

}  // namespace lazyfill
