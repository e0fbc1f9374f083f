#include "kernels/reference/elementwise.h"

#include <cmath>

namespace lazyfill::reference {
namespace {

float silu(float x) {
  return x / (1.0F + std::exp(-x));
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), arXiv 1606.08415.
float gelu(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608F;
  return 0.5F * x * (1.0F + std::tanh(kSqrt2OverPi * (x + 0.044715F * x * x * x)));
}

}  // namespace

void rms_norm(const float* x, const float* weight, float eps, size_t n_rows, size_t d, float* out) {
  for (size_t r = 0; r < n_rows; ++r, x += d, out += d) {
    double sum = 0;
    for (size_t i = 0; i < d; ++i) sum += static_cast<double>(x[i]) * x[i];
    const float inverse = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(d) + eps));
    for (size_t i = 0; i < d; ++i) out[i] = x[i] * inverse * weight[i];
  }
}

void gated(Activation activation, float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    gate[i] = (activation == Activation::kSilu ? silu(gate[i]) : gelu(gate[i])) * up[i];
  }
}

void add(float* x, const float* y, float scale, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] += scale * y[i];
}

void softcap(float* x, float cap, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

void rope(const RopeShape& shape, float* x, const float* angles, size_t n_rows) {
  const size_t n_pairs = shape.rope_dim / 2;
  const size_t stride = shape.neox ? 1 : 2;          // between the first elements of two pairs
  const size_t distance = shape.neox ? n_pairs : 1;  // between the two elements of a pair
  for (size_t r = 0; r < n_rows; ++r, angles += shape.rope_dim) {
    for (size_t h = 0; h < shape.n_heads; ++h, x += shape.head_dim) {
      for (size_t i = 0; i < n_pairs; ++i) {
        const float cosine = angles[2 * i];
        const float sine = angles[2 * i + 1];
        float& first = x[i * stride];
        float& second = x[i * stride + distance];
        const float turned = first * cosine - second * sine;
        second = first * sine + second * cosine;
        first = turned;
      }
    }
  }
}

}  // namespace lazyfill::reference
