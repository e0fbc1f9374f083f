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

constexpr Precision kPrompt{.n_plain = 0, .of_prompt = true};

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

  static PackedRows pack(const float* x, size_t n_rows, size_t n_in) {
    PackedRows rows;
    amx::pack_rows(x, n_rows, n_in, RowFormat::kQ8, kPrompt, rows);
    return rows;
  }

  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{7};
};

// By how much sum_i w_i x_i may be off: half a unit of each weight and of each input, and the products of the
// lower bytes, at most 128 units each. A weight's unit is its output's largest scale and offset together, at
// most four times the largest weight here, by 32,512.
TEST_P(PromptRows, AreTheProductOfSixteenBits) {
  const auto traits = *gguf::traits_of(GetParam());
  for (const size_t n_in : {size_t{32}, size_t{96}, size_t{256}, size_t{576}, size_t{1536}}) {
    if (n_in % traits.block_elements != 0) continue;
    for (const size_t n_out : {1, 16, 17, 33, 64}) {
      for (const size_t n_rows : {1, 15, 16, 17, 40}) {
        const TestWeights weights(GetParam(), n_out, n_in, random_);
        const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
        ASSERT_TRUE(packed);
        const std::vector<float> x = random_rows(n_rows, n_in, random_);
        const PackedRows rows = pack(x.data(), n_rows, n_in);
        const size_t ld_out = n_out + 3;
        std::vector<float> out(n_rows * ld_out, 0.25F);
        amx::emulated_matmul(*packed, rows, 0, n_out, out.data(), ld_out, true);
        std::vector<float> w(n_in);
        for (size_t o = 0; o < n_out; ++o) {
          const size_t row_bytes = n_in / traits.block_elements * traits.block_bytes;
          ASSERT_TRUE(gguf::dequantize(GetParam(), weights.raw().data + o * row_bytes, n_in, w.data()));
          double largest_w = 0;
          for (const float one : w) largest_w = std::max(largest_w, std::fabs(double{one}));
          const double w_unit = 4 * largest_w / 32512;
          for (size_t r = 0; r < n_rows; ++r) {
            double largest_x = 0;
            for (size_t i = 0; i < n_in; ++i)
              largest_x = std::max(largest_x, std::fabs(double{x[r * n_in + i]}));
            const double x_unit = largest_x / 32512;
            double sum = 0.25;
            double tolerance = 1e-6;
            for (size_t i = 0; i < n_in; ++i) {
              const double input = x[r * n_in + i];
              sum += w[i] * input;
              tolerance += std::fabs(w[i]) * x_unit + std::fabs(input) * w_unit;
            }
            tolerance += std::sqrt(static_cast<double>(n_in)) * 128 * 128 * w_unit * x_unit;
            ASSERT_NEAR(out[r * ld_out + o], sum, tolerance)
                << "row " << r << ", output " << o << " of " << n_out << ", " << n_in << " inputs";
          }
        }
        for (size_t r = 0; r < n_rows; ++r) {
          for (size_t o = n_out; o < ld_out; ++o)
            ASSERT_EQ(out[r * ld_out + o], 0.25F) << "written beyond the outputs";
        }
      }
    }
  }
}

TEST_P(PromptRows, ABitDoesNotDependOnNeighboursPartsOrTiles) {
  const size_t n_in = 768;
  const size_t n_out = 75;
  const size_t n_rows = 37;
  const TestWeights weights(GetParam(), n_out, n_in, random_);
  const auto packed = pack_matrix(*kernels_, weights.raw(), Team::alone());
  ASSERT_TRUE(packed);
  const std::vector<float> x = random_rows(n_rows, n_in, random_);
  const PackedRows rows = pack(x.data(), n_rows, n_in);
  std::vector<float> whole(n_rows * n_out);
  amx::emulated_matmul(*packed, rows, 0, n_out, whole.data(), n_out, false);
  std::vector<float> parts(n_rows * n_out);
  amx::emulated_matmul(*packed, rows, 0, 32, parts.data(), n_out, false);
  amx::emulated_matmul(*packed, rows, 32, n_out, parts.data(), n_out, false);
  EXPECT_EQ(parts, whole);
  for (const size_t n : {1, 2, 17}) {
    const PackedRows few = pack(x.data() + 5 * n_in, n, n_in);
    std::vector<float> out(n * n_out);
    amx::emulated_matmul(*packed, few, 0, n_out, out.data(), n_out, false);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), whole.begin() + 5 * n_out)) << n << " rows";
  }
  if (!machine_supports("amx")) GTEST_SKIP() << "the rest needs the processor's tiles";
  const Kernels& kernels = **kernels_for("amx");
  std::vector<float> on_tiles(n_rows * n_out);
  ThreadPool pool(3);
  matmul(kernels, *packed, rows, on_tiles.data(), n_out, false, Team::all(pool));
  EXPECT_EQ(on_tiles, whole);
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
  amx::pack_rows(x.data(), 1, 32, RowFormat::kQ8, kPrompt, rows);
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
