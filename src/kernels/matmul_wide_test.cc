#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "kernels/matmul.h"
#include "kernels/test_isa.h"
#include "kernels/test_weights.h"

// Rows that keep 16 bits an input (Precision).
namespace lazyfill {
namespace {

constexpr size_t kIn = 768;  // more than any table unpacks at a time
constexpr size_t kOut = 40;
constexpr size_t kRows = 13;
constexpr size_t kOutlying = 3;  // the block of large inputs

std::vector<float> rows_with_outliers(size_t n_rows, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(n_rows * kIn);
  for (size_t i = 0; i < x.size(); ++i) x[i] = normal(random) * (i % kIn / 32 == kOutlying ? 30.0F : 1.0F);
  return x;
}

class Wide : public testing::TestWithParam<std::tuple<std::string, gguf::TensorType>> {
 protected:
  void SetUp() override {
    const auto [isa, type] = GetParam();
    if (!machine_supports(isa)) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(isa);
    weights_ = std::make_unique<TestWeights>(type, kOut, kIn, random_);
    auto packed = pack_matrix(*kernels_, weights_->raw(), Team::alone());
    ASSERT_TRUE(packed);
    packed_ = std::move(*packed);
  }

  std::vector<float> product(const float* x, size_t n_rows, const Precision& precision) const {
    PackedRows rows;
    kernels_->pack_rows(x, n_rows, kIn, packed_.row_format, precision, rows);
    std::vector<float> out(n_rows * kOut);
    matmul(*kernels_, packed_, rows, out.data(), kOut, false, Team::alone());
    return out;
  }

  // The root of the mean square of got - x * W^T, relative to that of x * W^T, which is computed in double.
  double relative_error(const std::vector<float>& got, const std::vector<float>& x) const {
    const RawMatrix& raw = weights_->raw();
    const size_t row_bytes =
        gguf::traits_of(raw.type)->block_bytes * kIn / gguf::traits_of(raw.type)->block_elements;
    std::vector<float> w(kIn);
    double error = 0;
    double whole = 0;
    for (size_t o = 0; o < kOut; ++o) {
      EXPECT_TRUE(gguf::dequantize(raw.type, raw.data + o * row_bytes, kIn, w.data()));
      for (size_t row = 0; row < got.size() / kOut; ++row) {
        double truth = 0;
        for (size_t i = 0; i < kIn; ++i) truth += double{x[row * kIn + i]} * w[i];
        error += std::pow(got[row * kOut + o] - truth, 2);
        whole += truth * truth;
      }
    }
    return std::sqrt(error / whole);
  }

  // What the packed weights themselves are off by: offsets and scales of scales in fp16.
  static bool weights_are_exact() {
    const auto type = std::get<1>(GetParam());
    return type != gguf::TensorType::kQ4_1 && type != gguf::TensorType::kQ5_1 &&
           type != gguf::TensorType::kQ6_K;
  }

  std::mt19937 random_{3};
  const Kernels* kernels_ = nullptr;
  std::unique_ptr<TestWeights> weights_;
  PackedMatrix packed_;
};

TEST_P(Wide, SixteenBitsAreFarCloserThanEight) {
  if (packed_.row_format != RowFormat::kQ8) GTEST_SKIP() << "this table keeps rows as they are";
  const std::vector<float> x = rows_with_outliers(kRows, random_);
  const double plain = relative_error(product(x.data(), kRows, {}), x);
  EXPECT_GT(plain, 1e-3);
  // One scale for a row: all its blocks have a step 256 times smaller than that of the largest, which makes
  // nearly all the error of a plain row. Of n blocks that is 256 / sqrt(n) times closer, less what the
  // weights themselves are off by.
  const double wide = relative_error(product(x.data(), kRows, {.n_plain = 0}), x);
  const double closer = 256 / std::sqrt(kIn / 32.0);
  EXPECT_LT(wide, weights_are_exact() ? plain / (0.9 * closer) : plain / 8);
}

TEST_P(Wide, RowsBehindThePlainOnesAreWideThroughout) {
  const std::vector<float> x = rows_with_outliers(kRows, random_);
  const std::vector<float> all = product(x.data(), kRows, {.n_plain = 0});
  const std::vector<float> none = product(x.data(), kRows, {});
  for (const size_t n_rows : {size_t{3}, size_t{8}, kRows}) {  // few rows take a path of their own
    for (const size_t n_plain : {size_t{0}, size_t{1}, size_t{7}, kRows - 1, kRows}) {
      const std::vector<float> mixed = product(x.data(), n_rows, {.n_plain = n_plain});
      for (size_t i = 0; i < mixed.size(); ++i) {
        EXPECT_EQ(mixed[i], i < n_plain * kOut ? none[i] : all[i]) << n_rows << " rows, output " << i;
      }
    }
  }
}

TEST_P(Wide, ARowsBitsDoNotDependOnItsNeighbours) {
  std::vector<float> x = rows_with_outliers(kRows, random_);
  std::normal_distribution<float> normal;
  for (size_t i = 5 * kIn; i < 7 * kIn; ++i) x[i] = normal(random_);  // two rows without outliers
  std::fill_n(x.begin() + 8 * kIn, kIn, 0.0F);                        // and one of zeros
  const Precision precision{.n_plain = 0};
  const std::vector<float> whole = product(x.data(), kRows, precision);
  for (const size_t n : {1, 2, 3, 4, 5, 7}) {
    for (size_t first = 0; first + n <= kRows; ++first) {
      const std::vector<float> few = product(x.data() + first * kIn, n, precision);
      EXPECT_TRUE(std::equal(few.begin(), few.end(), whole.begin() + first * kOut))
          << n << " rows from " << first;
    }
  }
}

TEST_P(Wide, AddsToWhatIsThere) {
  const std::vector<float> x = rows_with_outliers(2, random_);
  PackedRows rows;
  kernels_->pack_rows(x.data(), 2, kIn, packed_.row_format, {.n_plain = 0}, rows);
  const std::vector<float> once = product(x.data(), 2, {.n_plain = 0});
  std::vector<float> out = once;
  ThreadPool pool(3);
  matmul(*kernels_, packed_, rows, out.data(), kOut, true, Team::all(pool));
  for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], 2 * once[i], 1e-5 * std::abs(once[i]) + 1e-5);
}

// Several products in one go are what each is alone.
TEST_P(Wide, ProductsTogether) {
  const std::vector<float> x = rows_with_outliers(kRows, random_);
  const std::vector<float> alone = product(x.data(), kRows, {.n_plain = 3});
  PackedRows rows;
  kernels_->pack_rows(x.data(), kRows, kIn, packed_.row_format, {.n_plain = 3}, rows);
  std::vector<float> out[2] = {std::vector<float>(kRows * kOut), std::vector<float>(kRows * kOut)};
  const Product both[] = {{&packed_, &rows, out[0].data(), kOut, false},
                          {&packed_, &rows, out[1].data(), kOut, false}};
  ThreadPool pool(3);
  multiply(*kernels_, both, Team::all(pool));
  EXPECT_EQ(out[0], alone);
  EXPECT_EQ(out[1], alone);
}

std::string name_of_case(const testing::TestParamInfo<Wide::ParamType>& info) {
  return std::get<0>(info.param) + std::string(gguf::traits_of(std::get<1>(info.param))->name);
}

using gguf::TensorType;
INSTANTIATE_TEST_SUITE_P(
    All, Wide,
    testing::Combine(testing::ValuesIn(isa_names()),
                     testing::Values(TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                                     TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kQ6_K,
                                     TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kIQ4_NL,
                                     TensorType::kMXFP4, TensorType::kTQ1_0)),
    name_of_case);

}  // namespace
}  // namespace lazyfill
