#include "kernels/amx/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/matmul.h"
#include "kernels/test_weights.h"

// Rows of a prompt. The loops run on tiles in memory wherever there is AVX-512, and on those of the processor
// where it has some.
namespace lazyfill {
namespace {

using gguf::TensorType;

constexpr Precision kFine{.n_plain = 0, .of_prompt = true};
constexpr Precision kPlain{.of_prompt = true};

std::vector<float> random_rows(size_t n_rows, size_t n_in, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(n_rows * n_in);
  for (size_t i = 0; i < x.size(); ++i) x[i] = normal(random) * (i % 211 == 5 ? 20.0F : 1.0F);
  std::fill_n(x.begin() + static_cast<std::ptrdiff_t>((n_rows - 1) * n_in), n_in / 2, 0.0F);
  return x;
}

class PromptRows : public testing::TestWithParam<TensorType> {
 protected:
  void SetUp() override {
    if (!machine_supports("avx512")) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for("avx512");
  }

  static PackedRows pack(const float* x, size_t n_rows, size_t n_in, const Precision& precision) {
    PackedRows rows;
    amx::pack_rows(x, n_rows, n_in, RowFormat::kQ8, precision, rows);
    return rows;
  }

  void check(size_t n_rows, size_t n_out, size_t n_in, const Precision& precision);

  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{7};
};

// By how much sum_i w_i x_i may be off: half a unit of each weight and of each input, and what is missing of
// the products of the lower bytes: all, at most 128 units each; or where the last plane stands for them what
// that rounds off, of which 15 in 16 units at most. A weight's unit is its output's largest scale and offset
// together, at most four times the largest weight here, by 32,512.
void PromptRows::check(size_t n_rows, size_t n_out, size_t n_in, const Precision& precision) {
  const auto traits = *gguf::traits_of(GetParam());
  const TestWeights weights(GetParam(), n_out, n_in, random_);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
  ASSERT_TRUE(packed);
  const std::vector<float> x = random_rows(n_rows, n_in, random_);
  const PackedRows rows = pack(x.data(), n_rows, n_in, precision);
  const size_t ld_out = n_out + 3;
  std::vector<float> out(n_rows * ld_out, 0.25F);
  amx::emulated_matmul(*packed, rows, 0, n_out, out.data(), ld_out, true);
  const auto largest_of = [](const float* values, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(double{values[i]}));
    return largest;
  };
  const double missing = precision.n_plain == 0 ? 2 * 128 * 15 + 15 * 15 : 128 * 128;
  std::vector<float> w(n_in);
  for (size_t o = 0; o < n_out; ++o) {
    const size_t row_bytes = n_in / traits.block_elements * traits.block_bytes;
    ASSERT_TRUE(gguf::dequantize(GetParam(), weights.raw().data + o * row_bytes, n_in, w.data()));
    const double w_unit = 4 * largest_of(w.data(), n_in) / 32512;
    for (size_t r = 0; r < n_rows; ++r) {
      const double x_unit = largest_of(x.data() + r * n_in, n_in) / 32512;
      double sum = 0.25;
      double tolerance = 1e-6 + std::sqrt(static_cast<double>(n_in)) * missing * w_unit * x_unit;
      for (size_t i = 0; i < n_in; ++i) {
        const double input = x[r * n_in + i];
        sum += w[i] * input;
        tolerance += std::fabs(w[i]) * x_unit + std::fabs(input) * w_unit;
      }
      ASSERT_NEAR(out[r * ld_out + o], sum, tolerance)
          << "row " << r << ", output " << o << " of " << n_out << ", " << n_in << " inputs";
    }
  }
  for (size_t r = 0; r < n_rows; ++r) {
    for (size_t o = n_out; o < ld_out; ++o)
      ASSERT_EQ(out[r * ld_out + o], 0.25F) << "written beyond the outputs";
  }
}

TEST_P(PromptRows, AreTheProductOfSixteenBits) {
  for (const size_t n_in : {size_t{32}, size_t{96}, size_t{256}, size_t{576}, size_t{1536}}) {
    if (n_in % gguf::traits_of(GetParam())->block_elements != 0) continue;
    for (const size_t n_out : {1, 16, 17, 33, 64}) {
      for (const size_t n_rows : {1, 15, 16, 17, 40}) {
        for (const Precision& precision : {kFine, kPlain}) check(n_rows, n_out, n_in, precision);
      }
    }
  }
}

// Types whose packed weights are rounded themselves: offsets and scales of scales in fp16.
constexpr TensorType kRounded[] = {TensorType::kQ4_1,  TensorType::kQ5_1, TensorType::kQ4_K,
                                   TensorType::kQ5_K,  TensorType::kQ6_K, TensorType::kQ2_K,
                                   TensorType::kIQ4_XS};

// The sixteenths bring the error, the root of its mean square, from 74 * 74 units a product (a lower byte's
// are 74) to 480 for their own rounding and 300 to 600 for that of the weights: a quarter at most.
TEST_P(PromptRows, ThatAreFineAreCloser) {
  const size_t n_in = 768;
  const size_t n_out = 32;
  const size_t n_rows = 16;
  const TestWeights weights(GetParam(), n_out, n_in, random_);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
  ASSERT_TRUE(packed);
  // Integers from the start, all of the unit 1 / 32,512, so that rows are rounded nowhere.
  std::vector<float> x(n_rows * n_in);
  for (float& value : x) value = static_cast<float>(static_cast<int>(random_() % 4001) - 2000) / 32512;
  for (size_t r = 0; r < n_rows; ++r) x[r * n_in] = 1;
  std::vector<float> w(n_in);
  double error[2] = {};
  for (const Precision& precision : {kFine, kPlain}) {
    const PackedRows rows = pack(x.data(), n_rows, n_in, precision);
    std::vector<float> out(n_rows * n_out);
    amx::emulated_matmul(*packed, rows, 0, n_out, out.data(), n_out, false);
    for (size_t o = 0; o < n_out; ++o) {
      const auto traits = *gguf::traits_of(GetParam());
      const size_t row_bytes = n_in / traits.block_elements * traits.block_bytes;
      ASSERT_TRUE(gguf::dequantize(GetParam(), weights.raw().data + o * row_bytes, n_in, w.data()));
      for (size_t r = 0; r < n_rows; ++r) {
        double sum = 0;
        for (size_t i = 0; i < n_in; ++i) sum += double{w[i]} * x[r * n_in + i];
        error[precision == kFine ? 0 : 1] += std::pow(out[r * n_out + o] - sum, 2);
      }
    }
  }
  const bool is_exact = std::ranges::find(kRounded, GetParam()) == std::end(kRounded);
  EXPECT_LT(error[0], error[1] / (is_exact ? 16 : 1));
}

TEST_P(PromptRows, ABitDoesNotDependOnNeighboursPartsOrTiles) {
  const size_t n_in = 768;
  const size_t n_out = 75;
  const size_t n_rows = 37;
  const TestWeights weights(GetParam(), n_out, n_in, random_);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
  ASSERT_TRUE(packed);
  const std::vector<float> x = random_rows(n_rows, n_in, random_);
  for (const Precision& precision : {kFine, kPlain}) {
    const PackedRows rows = pack(x.data(), n_rows, n_in, precision);
    std::vector<float> whole(n_rows * n_out);
    amx::emulated_matmul(*packed, rows, 0, n_out, whole.data(), n_out, false);
    std::vector<float> parts(n_rows * n_out);
    amx::emulated_matmul(*packed, rows, 0, 32, parts.data(), n_out, false);
    amx::emulated_matmul(*packed, rows, 32, n_out, parts.data(), n_out, false);
    EXPECT_EQ(parts, whole);
    for (const size_t n : {1, 2, 17}) {
      const PackedRows few = pack(x.data() + 5 * n_in, n, n_in, precision);
      std::vector<float> out(n * n_out);
      amx::emulated_matmul(*packed, few, 0, n_out, out.data(), n_out, false);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), whole.begin() + 5 * n_out)) << n << " rows";
    }
    if (!machine_supports("amx")) continue;  // the rest needs the processor's tiles
    std::vector<float> on_tiles(n_rows * n_out);
    ThreadPool pool(3);
    matmul(**kernels_for("amx"), *packed, rows, on_tiles.data(), n_out, false, Team::all(pool));
    EXPECT_EQ(on_tiles, whole);
  }
}

// Rows that are not of a prompt are what they are without tiles, whatever their number.
TEST_P(PromptRows, OtherRowsDoNotChange) {
  if (!machine_supports("amx")) GTEST_SKIP() << "this machine lacks the instruction set";
  const Kernels& with_tiles = **kernels_for("amx");
  const TestWeights weights(GetParam(), 40, 768, random_);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
  ASSERT_TRUE(packed);
  const std::vector<float> x = random_rows(30, 768, random_);
  std::vector<float> out[2] = {std::vector<float>(30 * 40), std::vector<float>(30 * 40)};
  for (const Kernels* kernels : {kernels_, &with_tiles}) {
    PackedRows rows;
    kernels->pack_rows(x.data(), 30, 768, packed->row_format, {.n_plain = 9}, rows);
    matmul(*kernels, *packed, rows, out[kernels == kernels_ ? 0 : 1].data(), 40, false, Team::alone());
  }
  EXPECT_EQ(out[0], out[1]);
}

TEST(PromptRow, OfNothingIsZero) {
  if (!machine_supports("avx512")) GTEST_SKIP() << "this machine lacks the instruction set";
  std::vector<std::byte> none(18 * 2);  // two outputs of one block of zeros
  const RawMatrix raw{TensorType::kQ4_0, none.data(), 2, 32};
  const auto packed = pack_matrix(**kernels_for("avx512"), raw, Team::alone());
  ASSERT_TRUE(packed);
  const std::vector<float> x(32, 1e-38F);
  PackedRows rows;
  amx::pack_rows(x.data(), 1, 32, RowFormat::kQ8, kFine, rows);
  std::vector<float> out(2, 1.0F);
  amx::emulated_matmul(*packed, rows, 0, 2, out.data(), 2, false);
  EXPECT_EQ(out, std::vector<float>(2, 0.0F));
}

// All types that are kept in codes; floats are multiplied as floats.
INSTANTIATE_TEST_SUITE_P(Types, PromptRows,
                         testing::Values(TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ4_K,
                                         TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ5_K,
                                         TensorType::kQ6_K, TensorType::kQ8_0, TensorType::kQ2_K,
                                         TensorType::kQ3_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS,
                                         TensorType::kMXFP4, TensorType::kTQ1_0, TensorType::kTQ2_0),
                         [](const auto& test) { return std::string(gguf::traits_of(test.param)->name); });

}  // namespace
}  // namespace lazyfill
