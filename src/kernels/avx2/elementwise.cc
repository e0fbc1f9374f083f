#include "kernels/avx2/elementwise.h"

#include "kernels/avx2/simd.h"
#include "kernels/elementwise_simd.h"

namespace lazyfill::avx2 {

void rms_norm(const float* x, const float* weight, float eps, size_t n_rows, size_t d, float* out) {
  elementwise::rms_norm<Simd>(x, weight, eps, n_rows, d, out);
}

void gated(Activation activation, float* gate, const float* up, size_t n) {
  elementwise::gated<Simd>(activation, gate, up, n);
}

void add(float* x, const float* y, float scale, size_t n) {
  elementwise::add<Simd>(x, y, scale, n);
}

void softcap(float* x, float cap, size_t n) {
  elementwise::softcap<Simd>(x, cap, n);
}

void rope(const RopeShape& shape, float* x, const float* angles, size_t n_rows) {
  elementwise::rope<Simd>(shape, x, angles, n_rows);
}

}  // namespace lazyfill::avx2
