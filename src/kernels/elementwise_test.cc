#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

std::vector<float> bell_shaped(size_t n, float size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> x(n);
  for (float& one : x) one = normal(random);
  return x;
}

const Kernels& reference_kernels() {
  return **kernels_for("reference");
}

class Elementwise : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(GetParam());
  }
  const Kernels* kernels_ = nullptr;
};

TEST_P(Elementwise, RmsNorm) {
  for (const size_t d : {1, 7, 64, 80, 576, 643}) {
    const auto x = bell_shaped(3 * d, 5, 1);
    const auto weight = bell_shaped(d, 1, 2);
    std::vector<float> expected(3 * d);
    std::vector<float> out = x;
    reference_kernels().rms_norm(x.data(), weight.data(), 1e-5F, 3, d, expected.data());
    kernels_->rms_norm(out.data(), weight.data(), 1e-5F, 3, d, out.data());  // in place
    // A sum of d squares in fp32 is off by at most d roundings, its root by half of that; three more follow.
    const float relative = (static_cast<float>(d) / 2 + 4) * 0x1p-24F;
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_NEAR(out[i], expected[i], std::fabs(expected[i]) * relative);
  }
}

TEST_P(Elementwise, RmsNormByHand) {
  std::vector<float> x = {3, 4};
  const std::vector<float> weight = {1, 2};
  kernels_->rms_norm(x.data(), weight.data(), 0, 1, 2, x.data());
  EXPECT_NEAR(x[0], 3 / std::sqrt(12.5F), 1e-6F);
  EXPECT_NEAR(x[1], 8 / std::sqrt(12.5F), 1e-6F);
}

TEST_P(Elementwise, Gated) {
  for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
    for (const float size : {1.0F, 100.0F}) {
      const auto gate = bell_shaped(1003, size, 3);
      const auto up = bell_shaped(1003, 1, 4);
      std::vector<float> out = gate;
      kernels_->gated(activation, out.data(), up.data(), out.size());
      for (size_t i = 0; i < out.size(); ++i) {
        const double x = gate[i];
        const double u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
        const double exact =
            up[i] * (activation == Activation::kSilu ? x / (1 + std::exp(-x)) : 0.5 * x * (1 + std::tanh(u)));
        // The exponential's argument y is off by some 2^-22 y, and y < 40 wherever its value is not lost
        // beside 1 or the result beside x. For large negative x the tail itself only has to vanish.
        const double allowed = 40 * 0x1p-21 * std::fabs(exact) + 1e-6 * std::fabs(up[i]);
        ASSERT_NEAR(out[i], exact, allowed) << gate[i];
      }
    }
  }
}

TEST_P(Elementwise, ActivationsAtTheEnds) {
  for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
    std::vector<float> gate(32, 1e4F);
    std::fill(gate.begin() + 16, gate.end(), -1e4F);
    const std::vector<float> up(32, 1);
    kernels_->gated(activation, gate.data(), up.data(), 32);
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(gate[i], 1e4F);
    for (size_t i = 16; i < 32; ++i) EXPECT_NEAR(gate[i], 0, 1e-30F);
  }
}

TEST_P(Elementwise, Add) {
  for (const size_t n : {1, 16, 31, 576}) {
    auto x = bell_shaped(n, 1, 5);
    const auto before = x;
    const auto y = bell_shaped(n, 1, 6);
    kernels_->add(x.data(), y.data(), 1, n);
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(x[i], before[i] + y[i]);
    x = before;
    kernels_->add(x.data(), y.data(), 0.22F, n);
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(x[i], before[i] + 0.22F * y[i]);
  }
}

TEST_P(Elementwise, Softcap) {
  for (const size_t n : {1, 16, 31, 576}) {
    for (const float size : {0.1F, 30.0F, 1000.0F}) {
      const auto before = bell_shaped(n, size, 8);
      auto x = before;
      kernels_->softcap(x.data(), 30, n);
      for (size_t i = 0; i < n; ++i) {
        // 1 - 2 / (e^2x + 1): a few roundings of numbers up to 1, and an exponential as in Gated.
        const double exact = 30 * std::tanh(before[i] / 30.0);
        ASSERT_NEAR(x[i], exact, 30 * 4 * 0x1p-22) << before[i];
      }
    }
  }
}

TEST_P(Elementwise, Rope) {
  for (const bool neox : {false, true}) {
    for (const size_t rope_dim : {8, 16, 32, 64, 80}) {
      const RopeShape shape{3, 80, rope_dim, neox};
      const size_t n_rows = 4;
      auto x = bell_shaped(n_rows * 3 * 80, 2, 7);
      auto expected = x;
      std::vector<float> angles;
      for (size_t i = 0; i < n_rows * rope_dim / 2; ++i) {
        angles.push_back(std::cos(0.37F * static_cast<float>(i)));
        angles.push_back(std::sin(0.37F * static_cast<float>(i)));
      }
      reference_kernels().rope(shape, expected.data(), angles.data(), n_rows);
      kernels_->rope(shape, x.data(), angles.data(), n_rows);
      // Two products below 10 and their sum, each rounded.
      for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], expected[i], 10 * 3 * 0x1p-24F);
    }
  }
}

TEST_P(Elementwise, RopeByHand) {
  std::vector<float> x(8);
  std::vector<float> angles(8);
  for (size_t i = 0; i < 4; ++i) angles[2 * i] = 1;  // only the first pair turns, by 90 degrees
  angles[0] = 0;
  angles[1] = 1;
  x = {1, 2, 3, 4, 5, 6, 7, 8};
  kernels_->rope({1, 8, 8, false}, x.data(), angles.data(), 1);
  EXPECT_EQ(x, (std::vector<float>{-2, 1, 3, 4, 5, 6, 7, 8}));
  x = {1, 2, 3, 4, 5, 6, 7, 8};
  kernels_->rope({1, 8, 8, true}, x.data(), angles.data(), 1);
  EXPECT_EQ(x, (std::vector<float>{-5, 2, 3, 4, 1, 6, 7, 8}));
}

INSTANTIATE_TEST_SUITE_P(Isa, Elementwise, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
