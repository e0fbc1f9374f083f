// Element-wise kernels with AVX2; contracts in kernels.h.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill::avx2 {

void rms_norm(const float* x, const float* weight, float eps, size_t n_rows, size_t d, float* out);
void gated(Activation activation, float* gate, const float* up, size_t n);
void add(float* x, const float* y, float scale, size_t n);
void softcap(float* x, float cap, size_t n);
void rope(const RopeShape& shape, float* x, const float* angles, size_t n_rows);

}  // namespace lazyfill::avx2
