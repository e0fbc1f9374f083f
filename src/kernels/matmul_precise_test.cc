#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/matmul.h"

namespace lazyfill {
namespace {

constexpr size_t kRows = 5;
constexpr size_t kIn = 96;
constexpr size_t kOut = 40;

// The largest error of x * W^T against double, relative to the largest product.
double relative_error(const std::vector<float>& got, const std::vector<float>& x,
                      const std::vector<float>& weights) {
  double worst = 0;
  double largest = 0;
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t o = 0; o < kOut; ++o) {
      double truth = 0;
      for (size_t i = 0; i < kIn; ++i) truth += static_cast<double>(x[row * kIn + i]) * weights[o * kIn + i];
      worst = std::max(worst, std::abs(got[row * kOut + o] - truth));
      largest = std::max(largest, std::abs(truth));
    }
  }
  return worst / largest;
}

class Precise : public testing::TestWithParam<Isa> {};

TEST_P(Precise, IsFarCloserThanEightBits) {
  if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
  const Kernels& kernels = **kernels_for(GetParam());
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(kRows * kIn);
  for (float& value : x) value = normal(random);
  // Q8_0 by hand: a half-float scale of 2^-6, then 32 signed bytes.
  std::vector<std::byte> blocks;
  std::vector<float> weights;
  for (size_t block = 0; block < kOut * kIn / 32; ++block) {
    blocks.insert(blocks.end(), {std::byte{0x00}, std::byte{0x24}});
    for (size_t i = 0; i < 32; ++i) {
      const auto code = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
      blocks.push_back(static_cast<std::byte>(code));
      weights.push_back(code / 64.0F);
    }
  }
  const auto packed =
      pack_matrix(kernels, {gguf::TensorType::kQ8_0, blocks.data(), kOut, kIn}, Team::alone());
  ASSERT_TRUE(packed) << packed.error().message;

  Buffer<float> split;
  Buffer<float> products;
  MixedRows rows;
  std::vector<float> precise(kRows * kOut, 0.0F);
  pack_rows_mixed(kernels, x.data(), kRows, 0, kIn, packed->row_format, split, rows);
  Product product{&*packed, &rows, precise.data(), kOut, false};
  multiply(kernels, {&product, 1}, products, Team::alone());
  // 16 bits leave 2^-16 of a block's largest value a term; 8 bits leave 2^-8, which would be 30 times the
  // bound.
  EXPECT_LT(relative_error(precise, x, weights), 1e-4);

  std::vector<float> twice = precise;
  product.out = twice.data();
  product.accumulate = true;
  multiply(kernels, {&product, 1}, products, Team::alone());
  for (size_t i = 0; i < twice.size(); ++i) EXPECT_FLOAT_EQ(twice[i], 2 * precise[i]);

  // Rows of both kinds side by side are the same bits as rows of one kind, by any team.
  std::vector<float> plain(kRows * kOut);
  pack_rows_mixed(kernels, x.data(), kRows, kRows, kIn, packed->row_format, split, rows);
  product = {&*packed, &rows, plain.data(), kOut, false};
  multiply(kernels, {&product, 1}, products, Team::alone());
  constexpr size_t kPlain = 3;
  std::vector<float> mixed[2] = {std::vector<float>(kRows * kOut), std::vector<float>(kRows * kOut)};
  pack_rows_mixed(kernels, x.data(), kRows, kPlain, kIn, packed->row_format, split, rows);
  const Product both[] = {{&*packed, &rows, mixed[0].data(), kOut, false},
                          {&*packed, &rows, mixed[1].data(), kOut, false}};
  ThreadPool pool(3);
  multiply(kernels, both, products, Team::all(pool));
  for (const std::vector<float>& got : mixed) {
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i < kPlain * kOut ? plain[i] : precise[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(AllIsas, Precise, testing::Values(Isa::kReference, Isa::kAvx2, Isa::kAvx512));

}  // namespace
}  // namespace lazyfill
