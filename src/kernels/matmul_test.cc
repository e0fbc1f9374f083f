#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/half.h"
#include "kernels/test_isa.h"
#include "kernels/test_weights.h"

namespace lazyfill {
namespace {

using gguf::TensorType;

std::vector<float> random_rows(size_t n_rows, size_t n_in, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(n_rows * n_in);
  for (float& value : x) value = normal(random);
  // What a real hidden state has: a few inputs that dwarf their neighbours, and blocks that are all zero.
  for (size_t i = 5; i < x.size(); i += 211) x[i] *= 20;
  if (n_in >= 64) std::fill(x.begin(), x.begin() + 32, 0.0F);
  return x;
}

std::vector<float> dequantized(const RawMatrix& raw) {
  const auto traits = *gguf::traits_of(raw.type);
  const size_t row_bytes = raw.n_in / traits.block_elements * traits.block_bytes;
  std::vector<float> w(raw.n_out * raw.n_in);
  for (size_t o = 0; o < raw.n_out; ++o) {
    EXPECT_TRUE(gguf::dequantize(raw.type, raw.data + o * row_bytes, raw.n_in, w.data() + o * raw.n_in));
  }
  return w;
}

// What one output may differ by, and what it should be, in double precision.
struct Expected {
  double value = 0;      // of the rows as the kernel sees them (quantised to bytes where it does that)
  double exact = 0;      // of the rows as given
  double tolerance = 0;  // of |result - value|
  double row_error = 0;  // of |value - exact|: half a step of the activations times the weights
};

// Emulates the arithmetic of the packed product. Beyond the quantisation of the rows, which is emulated
// exactly, a result may differ by
//  - the rounding of fp32 sums: at most one unit of 2^-24 of the sum of magnitudes an operation;
//  - for Q4_K, Q5_K, Q6_K and IQ4_XS, scale times sub-scale rounded to fp16: 2^-11 of each product;
//  - for types with minima, the bf16 rounding (2^-9) of the offset and of the block's sum of inputs
//    (AVX-512), and the difference between that sum, which is exact, and the sum of the quantised inputs. An
//    offset is the weight of the middle code, so no larger than 1.5 times the largest weight of a block with
//    many different codes.
Expected expect(TensorType type, RowFormat format, const float* w, const float* x, size_t n_in) {
  const bool k_type = type == TensorType::kQ4_K || type == TensorType::kQ5_K || type == TensorType::kQ6_K ||
                      type == TensorType::kIQ4_XS;
  const bool has_minimum = type == TensorType::kQ4_1 || type == TensorType::kQ5_1 ||
                           type == TensorType::kQ4_K || type == TensorType::kQ5_K;
  Expected expected;
  double magnitudes = 0;
  for (size_t begin = 0; begin < n_in; begin += 32) {
    const size_t end = std::min(n_in, begin + 32);
    float largest = 0;
    double largest_weight = 0;
    double sum = 0;
    double exact_sum = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float scale = format == RowFormat::kQ8 ? largest / 127.0F : 0;
    const float inverse = largest > 0 ? 127.0F / largest : 0;
    for (size_t i = begin; i < end; ++i) {
      double input = x[i];
      if (format == RowFormat::kQ8) input = double{scale} * std::nearbyint(x[i] * inverse);
      expected.value += w[i] * input;
      expected.exact += double{w[i]} * x[i];
      expected.row_error += std::fabs(w[i]) * 0.5001 * scale;
      magnitudes += std::fabs(w[i] * input);
      largest_weight = std::max(largest_weight, std::fabs(double{w[i]}));
      sum += input;
      exact_sum += x[i];
    }
    if (has_minimum) {
      expected.tolerance +=
          1.5 * largest_weight * (std::fabs(exact_sum) * 2.1 * 0x1p-9 + std::fabs(exact_sum - sum));
    }
  }
  // Scale and offset may cancel in a weight, so magnitudes of weights are counted four times.
  expected.tolerance +=
      4 * magnitudes * ((k_type ? 0x1p-11 : 0) + static_cast<double>(n_in) * 0x1p-24) + 1e-12;
  return expected;
}

class Matmul : public testing::TestWithParam<std::tuple<std::string, TensorType>> {
 protected:
  void SetUp() override {
    if (!machine_supports(isa())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(isa());
  }
  static std::string isa() { return std::get<0>(GetParam()); }
  static TensorType type() { return std::get<1>(GetParam()); }

  // Packs a random matrix of n_out by n_in, multiplies n_rows random rows, and checks every output.
  void check(size_t n_out, size_t n_in, size_t n_rows, bool accumulate) {
    SCOPED_TRACE(testing::Message() << n_out << " outputs, " << n_in << " inputs, " << n_rows
                                    << " rows, accumulate " << accumulate);
    std::mt19937 random(static_cast<unsigned>(n_out * 31 + n_in * 7 + n_rows));
    const TestWeights weights(type(), n_out, n_in, random);
    const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
    ASSERT_TRUE(packed);
    const std::vector<float> x = random_rows(n_rows, n_in, random);
    PackedRows rows;
    kernels_->pack_rows(x.data(), n_rows, n_in, packed->row_format, {}, rows);
    const size_t ld_out = n_out + 3;
    constexpr float kBefore = 0.25F;
    std::vector<float> out(n_rows * ld_out, kBefore);
    matmul(*kernels_, *packed, rows, out.data(), ld_out, accumulate, Team::alone());

    const std::vector<float> w = dequantized(weights.raw());
    for (size_t r = 0; r < n_rows; ++r) {
      for (size_t o = 0; o < n_out; ++o) {
        const Expected e = expect(type(), packed->row_format, w.data() + o * n_in, x.data() + r * n_in, n_in);
        const double result = double{out[r * ld_out + o]} - (accumulate ? kBefore : 0);
        const double tolerance = e.tolerance + (accumulate ? static_cast<double>(n_in) * 0x1p-24 : 0);
        ASSERT_NEAR(result, e.value, tolerance) << "row " << r << ", output " << o;
        ASSERT_NEAR(result, e.exact, tolerance + e.row_error) << "row " << r << ", output " << o;
      }
      for (size_t o = n_out; o < ld_out; ++o)
        ASSERT_EQ(out[r * ld_out + o], kBefore) << "written beyond the outputs";
    }
  }

  // Smallest number of inputs that this type can have.
  static size_t block() { return gguf::traits_of(type())->block_elements; }

  const Kernels* kernels_ = nullptr;
};

TEST_P(Matmul, OddNumbersOfOutputs) {
  for (const size_t n_out : {1, 5, 15, 16, 17, 31, 32, 33, 50}) check(n_out, 256, 7, false);
}

TEST_P(Matmul, ModelWidths) {
  for (const size_t n_in : {32, 64, 96, 576, 640, 1536, 2048, 4096}) {
    if (n_in % block() == 0) check(35, n_in, 8, false);
  }
}

TEST_P(Matmul, EveryNumberOfRows) {
  for (size_t n_rows = 1; n_rows <= 26; ++n_rows) check(33, 256, n_rows, n_rows % 2 == 0);
  check(17, 512, 70, true);
}

// A thread's part, and a row's batch, must not show in the result.
TEST_P(Matmul, SameBitsForAnyPartOfRowsAndOutputs) {
  std::mt19937 random(3);
  const size_t n_in = 768;
  const size_t n_out = 75;
  const size_t n_rows = 20;
  const TestWeights weights(type(), n_out, n_in, random);
  ThreadPool pool(3);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::all(pool));
  ASSERT_TRUE(packed);
  const std::vector<float> x = random_rows(n_rows, n_in, random);
  PackedRows rows;
  kernels_->pack_rows(x.data(), n_rows, n_in, packed->row_format, {}, rows);
  std::vector<float> whole(n_rows * n_out);
  matmul(*kernels_, *packed, rows, whole.data(), n_out, false, Team::alone());
  std::vector<float> shared(n_rows * n_out);
  matmul(*kernels_, *packed, rows, shared.data(), n_out, false, Team::all(pool));
  EXPECT_EQ(whole, shared);
  for (const size_t n : {1, 2, 3, 4, 7}) {
    kernels_->pack_rows(x.data() + 5 * n_in, n, n_in, packed->row_format, {}, rows);
    std::vector<float> few(n * n_out);
    matmul(*kernels_, *packed, rows, few.data(), n_out, false, Team::alone());
    EXPECT_TRUE(std::equal(few.begin(), few.end(), whole.begin() + 5 * n_out)) << n << " rows";
  }
}

TEST_P(Matmul, RefusesPartsOfBlocks) {
  std::mt19937 random(4);
  const TestWeights weights(type(), 2, block(), random);
  RawMatrix raw = weights.raw();
  raw.n_in = block() == 1 ? 0 : block() + block() / 2;
  const auto packed = pack_matrix(*kernels_, raw, Team::alone());
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, ErrorCode::kInvalidFile);
}

std::string name_of_case(const testing::TestParamInfo<Matmul::ParamType>& info) {
  return std::get<0>(info.param) + std::string(gguf::traits_of(std::get<1>(info.param))->name);
}

// Every type that the build reads, so that a new one cannot be forgotten here.
std::vector<TensorType> readable_types() {
  std::vector<TensorType> types;
  for (uint32_t number = 0; number < 256; ++number) {
    const auto traits = gguf::traits_of(static_cast<TensorType>(number));
    if (traits && traits->can_dequantize) types.push_back(static_cast<TensorType>(number));
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(All, Matmul,
                         testing::Combine(testing::ValuesIn(isa_names()),
                                          testing::ValuesIn(readable_types())),
                         name_of_case);

}  // namespace
}  // namespace lazyfill
