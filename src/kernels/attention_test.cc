#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "base/half.h"
#include "kernels/attention_case.h"
#include "kernels/kernels.h"
#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

class Attention : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(GetParam());
  }

  // attend() over all heads, also of packed columns, attend_partial() in uneven parts with merge_partials(),
  // and the driver.
  void expect_as_reference(const Case& c) {
    const size_t n_kv_heads = c.task.shape.n_kv_heads;
    std::vector<float> expected(c.out_floats());
    reference_kernels().attend(c.task, 0, n_kv_heads, expected.data(), scratch_);
    const float allowed = tolerance(*kernels_, c);
    EXPECT_LE(largest_difference(packed(c), expected), allowed);
    for (const bool alone : {false, true}) {
      AttentionTask task = c.task;
      task.alone = alone;
      std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
      kernels_->attend(task, 0, n_kv_heads, out.data(), scratch_);
      EXPECT_LE(largest_difference(out, expected), allowed) << "alone: " << alone;
      EXPECT_LE(largest_difference(in_parts(task), expected), allowed) << "alone: " << alone;
    }
    for (const RowForm form : {RowForm::kAlone, RowForm::kFew, RowForm::kMany}) {
      std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
      AttentionScratch scratch(1);
      attention(*kernels_, c.task, form, out.data(), Team::alone(), scratch);
      EXPECT_LE(largest_difference(out, expected), allowed) << "form " << static_cast<int>(form);
    }
  }

  std::vector<float> packed(const Case& c) {
    AttentionTask task = c.task;
    Buffer<std::byte> room;
    pack_columns(*kernels_, task, room, Team::alone());
    std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
    kernels_->attend(task, 0, task.shape.n_kv_heads, out.data(), scratch_);
    return out;
  }

  std::vector<float> in_parts(const AttentionTask& task) {
    const AttentionShape& shape = task.shape;
    const auto n = static_cast<uint32_t>(task.list.n);
    const uint32_t cuts[] = {0, n / 7, n / 7, n / 2 + 1 > n ? n : n / 2 + 1, n};
    const size_t part_floats = task.n_rows * shape.n_heads * partial_stride(shape);
    std::vector<float> partials(4 * part_floats, std::numeric_limits<float>::quiet_NaN());
    for (size_t part = 0; part < 4; ++part) {
      for (size_t kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
        kernels_->attend_partial(task, kv_head, kv_head + 1, {cuts[part], cuts[part + 1]},
                                 partials.data() + part * part_floats, scratch_);
      }
    }
    std::vector<float> out(task.n_rows * shape.n_heads * shape.head_dim);
    kernels_->merge_partials(shape, partials.data(), 4, task.n_rows, out.data());
    return out;
  }

  const Kernels* kernels_ = nullptr;
  Buffer<std::byte> scratch_;
};

TEST_P(Attention, OddSizesAndGroups) {
  const std::tuple<size_t, size_t, size_t> shapes[] = {{9, 3, 64},  {4, 1, 256}, {2, 2, 80},
                                                       {8, 1, 128}, {3, 1, 72},  {10, 2, 8}};
  for (const auto& [n_heads, n_kv_heads, head_dim] : shapes) {
    for (const auto& [n_rows, n_columns] :
         {std::pair<size_t, size_t>{1, 1}, {1, 300}, {2, 17}, {3, 64}, {7, 65}, {33, 131}, {66, 200}}) {
      SCOPED_TRACE(testing::Message() << n_heads << '/' << n_kv_heads << " heads of " << head_dim << ", "
                                      << n_rows << " rows, " << n_columns << " columns");
      expect_as_reference(
          Case(shape_of(n_heads, n_kv_heads, head_dim), n_rows, n_columns, ColumnType::kF16, 1, 1));
    }
  }
}

TEST_P(Attention, MoreRowsThanABlockHolds) {
  expect_as_reference(Case(shape_of(3, 1, 64), 200, 333, ColumnType::kF16, 1, 2));
  expect_as_reference(Case(shape_of(8, 1, 64), 120, 120, ColumnType::kF16, 1, 3));
}

TEST_P(Attention, FloatColumns) {
  for (const size_t n_rows : {1, 5, 40})
    expect_as_reference(Case(shape_of(6, 2, 64), n_rows, 150, ColumnType::kF32, 1, 4));
}

TEST_P(Attention, ColumnsOfBytes) {
  for (const size_t head_dim : {64, 72, 80, 256}) {
    for (const size_t n_rows : {1, 2, 5, 40}) {
      SCOPED_TRACE(testing::Message() << "heads of " << head_dim << ", " << n_rows << " rows");
      expect_as_reference(Case(shape_of(6, 2, head_dim), n_rows, 150, ColumnType::kQ8, 1, 4));
    }
  }
}

TEST_P(Attention, PeakyScores) {
  for (const size_t n_rows : {1, 40}) {
    for (const float q_size : {8.0F, 60.0F})
      expect_as_reference(Case(shape_of(9, 3, 64), n_rows, 400, ColumnType::kF16, q_size, 5));
  }
}

// Integer kernels sum in 32 bits: here every input, weight and value is as large as its scale allows, or
// zero.
TEST_P(Attention, EqualInputsAndZeros) {
  for (const size_t head_dim : {8, 64, 72, 256}) {
    for (const float size : {0.0F, 1.0F, -4.0F}) {
      SCOPED_TRACE(testing::Message() << "heads of " << head_dim << ", all " << size);
      Case c(shape_of(3, 1, head_dim), 40, 200, ColumnType::kF16, 1, 11);
      std::fill(c.q.begin(), c.q.end(), size);
      auto* keys = reinterpret_cast<uint16_t*>(c.keys.data());
      auto* values = reinterpret_cast<uint16_t*>(c.values.data());
      std::fill_n(keys, c.keys.size() / 2, float_to_half(size));
      std::fill_n(values, c.values.size() / 2, float_to_half(size));
      std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
      kernels_->attend(c.task, 0, 1, out.data(), scratch_);
      // Equal weights cancel, but for bf16 weights (avx512), which are rounded after they are summed.
      const float weight_error = rounds_to_bf16(*kernels_) ? 0x1p-9F + 1e-4F : 1e-5F;
      for (const float x : out) ASSERT_NEAR(x, size, 2 * weight_error * std::fabs(size));
    }
  }
}

TEST_P(Attention, Windows) {
  for (const uint32_t width : {1U, 5U, 64U, 100U}) {
    for (const size_t n_rows : {1, 2, 70}) {
      Case c(shape_of(4, 1, 64), n_rows, 300, ColumnType::kF16, 1, 6);
      c.see_window(width);
      expect_as_reference(c);
    }
  }
}

TEST_P(Attention, RaggedRangesAndShuffledSlots) {
  for (const size_t n_rows : {1, 3, 50}) {
    Case c(shape_of(6, 2, 64), n_rows, 257, ColumnType::kF16, 2, 7);
    c.see_anything();
    expect_as_reference(c);
    c.shuffle_slots();
    expect_as_reference(c);
  }
}

// As rows that came back to a layer with a window: some share columns with a neighbour, most do not.
TEST_P(Attention, FewRowsFarApart) {
  for (const uint32_t first_end : {50U, 300U}) {
    Case c(shape_of(6, 2, 64), 9, 2000, ColumnType::kF16, 2, 14);
    for (uint32_t row = 0; row < 9; ++row) {
      const uint32_t end = row < 4 ? first_end + row : 210 * (row + 1);
      c.ranges[row] = {end > 180 ? end - 180 : 0, end};
    }
    expect_as_reference(c);
    c.shuffle_slots();
    expect_as_reference(c);
  }
}

TEST_P(Attention, Softcap) {
  for (const size_t n_rows : {1, 40}) {
    AttentionShape shape = shape_of(4, 2, 64);
    shape.softcap = 4;
    shape.scale = 0.25F;
    expect_as_reference(Case(shape, n_rows, 150, ColumnType::kF16, 2, 8));
  }
}

// In fp32, as a prompt's own columns are: nothing becomes infinite on the way to integers and back.
TEST_P(Attention, NextToNothing) {
  for (const float size : {0.0F, 1e-40F, 1e-37F, 1e-20F}) {
    Case c(shape_of(6, 2, 64), 40, 200, ColumnType::kF32, 1, 16);
    std::fill(c.q.begin(), c.q.end(), size);
    std::fill_n(reinterpret_cast<float*>(c.keys.data()), c.keys.size() / 4, size);
    std::fill_n(reinterpret_cast<float*>(c.values.data()), c.values.size() / 4, size);
    std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
    kernels_->attend(c.task, 0, 2, out.data(), scratch_);
    for (const float x : out) ASSERT_NEAR(x, size, 1e-30F + 1e-3F * size);
    for (const float x : packed(c)) ASSERT_NEAR(x, size, 1e-30F + 1e-3F * size);
  }
}

// What no test of exact inputs shows: queries, keys and values that have to be rounded to the products'
// format.
TEST_P(Attention, RoundedInputs) {
  Case c(shape_of(9, 3, 64), 40, 300, ColumnType::kF16, 1, 9);
  std::mt19937 random(10);
  std::normal_distribution<float> normal;
  for (float& x : c.q) x = normal(random);
  auto* keys = reinterpret_cast<uint16_t*>(c.keys.data());
  float largest_score = 0;  // sum of |q k| of bell-shaped numbers, doubled
  largest_score = 2 * 64 * 0.64F * c.task.shape.scale;
  for (size_t i = 0; i < c.keys.size() / 2; ++i) keys[i] = float_to_half(normal(random));
  std::vector<float> expected(c.out_floats());
  std::vector<float> out(c.out_floats());
  reference_kernels().attend(c.task, 0, 3, expected.data(), scratch_);
  kernels_->attend(c.task, 0, 3, out.data(), scratch_);
  const float rounding = rounds_to_bf16(*kernels_) ? 2 * 0x1p-9F : 0;  // of a product of two rounded numbers
  EXPECT_LE(largest_difference(out, expected),
            tolerance(*kernels_, c) + 2 * c.largest_value * largest_score * rounding);
}

TEST_P(Attention, PartsThatSeeNothing) {
  for (const size_t n_rows : {1, 20}) {
    Case c(shape_of(4, 2, 64), n_rows, 100, ColumnType::kF16, 1, 11);
    c.see_window(10);
    std::vector<float> partial(n_rows * 4 * partial_stride(c.task.shape), 1);
    kernels_->attend_partial(c.task, 0, 2, {0, 30}, partial.data(), scratch_);
    for (size_t i = 0; i < n_rows * 4; ++i) {
      EXPECT_EQ(partial[i * 66 + 64], -std::numeric_limits<float>::infinity());
      EXPECT_EQ(partial[i * 66 + 65], 0);
    }
  }
}

// A block may begin and end anywhere, and some of its rows may see nothing of a piece.
TEST_P(Attention, ManyRowsOfTwoPiecesDoNotDependOnTheirBlock) {
  Case c(shape_of(4, 2, 64), 150, 400, ColumnType::kF16, 1, 12);
  const Case other(c.task.shape, 150, 1, ColumnType::kF16, 1, 13);
  c.see_window(100);
  std::vector<ColumnRange> few(150, {0, 4});
  few[40] = {2, 2};
  AttentionTask sinks = c.task;
  sinks.q = other.q.data();
  sinks.ranges = few.data();
  const auto attended = [&](const Kernels& kernels, const std::vector<size_t>& cuts) {
    std::vector<float> out(c.out_floats());
    AttentionScratch scratch(1);
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const AttentionTask pieces[] = {rows_of(c.task, cuts[i], cuts[i + 1]),
                                      rows_of(sinks, cuts[i], cuts[i + 1])};
      const AttentionGroup group{pieces, RowForm::kMany, out.data() + cuts[i] * 4 * 64};
      attention(kernels, {&group, 1}, Team::alone(), scratch);
    }
    return out;
  };
  const std::vector<float> whole = attended(*kernels_, {0, 150});
  EXPECT_EQ(whole, attended(*kernels_, {0, 37, 41, 42, 150}));
  EXPECT_LE(largest_difference(whole, attended(reference_kernels(), {0, 150})), tolerance(*kernels_, c));
}

TEST_P(Attention, EveryTeamGivesTheSameBits) {
  ThreadPool pool(3);
  for (const size_t n_rows : {1, 5, 150}) {
    Case c(shape_of(9, 3, 64), n_rows, 1100, ColumnType::kF16, 2, 12);
    AttentionScratch scratch(3);
    std::vector<float> alone(c.out_floats());
    std::vector<float> all(c.out_floats());
    attention(*kernels_, c.task, form_of_rows(n_rows), alone.data(), Team::alone(2), scratch);
    attention(*kernels_, c.task, form_of_rows(n_rows), all.data(), Team::all(pool), scratch);
    EXPECT_EQ(alone, all);
  }
}

TEST_P(Attention, ProbabilitiesAsReference) {
  for (const size_t head_dim : {64, 80, 72}) {
    for (const bool shuffled : {false, true}) {
      Case c(shape_of(6, 2, head_dim), 3, 203, ColumnType::kF16, 4, 13);
      c.see_window(150);
      if (shuffled) c.shuffle_slots();
      std::vector<float> expected(3 * 203);
      std::vector<float> probs(3 * 203, 7);
      AttentionScratch scratch(1);
      mean_attention_probs(reference_kernels(), c.task, expected.data(), Team::alone(), scratch);
      mean_attention_probs(*kernels_, c.task, probs.data(), Team::alone(), scratch);
      // A probability of at most one, its score in fp32: the relative error of a weight (see tolerance()),
      // twice.
      EXPECT_LE(largest_difference(probs, expected), 1e-4F);
      for (size_t row = 0; row < 3; ++row) {
        const auto begin = probs.begin() + static_cast<ptrdiff_t>(row * 203);
        EXPECT_NEAR(std::accumulate(begin, begin + 203, 0.0), 1.0, 1e-5);
        EXPECT_EQ(*begin, 0.0F);
      }
    }
  }
}

TEST_P(Attention, StoredColumnsAsReference) {
  for (const ColumnType type : {ColumnType::kF16, ColumnType::kF32, ColumnType::kQ8}) {
    for (const size_t head_dim : {64, 72}) {
      std::mt19937 random(14);
      std::normal_distribution<float> normal(0, 1e3F);
      std::vector<float> x(5 * 2 * head_dim);
      for (float& one : x) one = normal(random) * normal(random);
      std::vector<std::byte> expected(2 * 11 * head_dim * 4, std::byte{42});
      std::vector<std::byte> half = expected;
      reference_kernels().store_columns(type, x.data(), 5, 2, head_dim, 11, 4, expected.data());
      kernels_->store_columns(type, x.data(), 5, 2, head_dim, 11, 4, half.data());
      EXPECT_EQ(half, expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Attention, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
