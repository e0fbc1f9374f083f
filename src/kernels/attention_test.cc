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
#include "kernels/kernels.h"
#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

// A task with its memory. Queries, keys and values are numbers that bf16 and f16 hold exactly, and the scale
// is a power of two once the kernels have multiplied it with log2(e): whatever format the products are taken
// in, the inputs do not round, and a difference to the reference is the kernel's own.
struct Case {
  AttentionTask task;
  std::vector<float> q;
  std::vector<std::byte> keys, values;
  std::vector<ColumnRange> ranges;
  std::vector<int32_t> slots;
  float largest_value = 0;

  Case(const AttentionShape& shape, size_t n_rows, size_t n_columns, ColumnType type, float q_size,
       uint32_t seed)
      : random_(seed) {
    task.shape = shape;
    task.list.n = n_columns;
    task.n_rows = n_rows;
    capacity_ = n_columns + 3;
    q = numbers(n_rows * shape.n_heads * shape.head_dim, q_size);
    const std::vector<float> k = numbers(shape.n_kv_heads * capacity_ * shape.head_dim, 1);
    const std::vector<float> v = numbers(k.size(), 1);
    for (const float x : v) largest_value = std::max(largest_value, std::fabs(x));
    keys = stored(k, type, shape.head_dim);
    values = stored(v, type, shape.head_dim);
    task.columns = {type, keys.data(), values.data(), capacity_};
    task.list.first = 2;
    see_causally();
    task.q = q.data();
  }

  void see(std::vector<ColumnRange> what) {
    ranges = std::move(what);
    task.ranges = ranges.data();
  }
  // The last row sees all columns, each row before it one less.
  void see_causally() {
    std::vector<ColumnRange> what(task.n_rows);
    for (size_t row = 0; row < task.n_rows; ++row) {
      const size_t hidden = std::min(task.n_rows - 1 - row, task.list.n - 1);
      what[row] = {0, static_cast<uint32_t>(task.list.n - hidden)};
    }
    see(std::move(what));
  }
  void see_window(uint32_t width) {
    see_causally();
    for (ColumnRange& range : ranges) range.begin = range.end > width ? range.end - width : 0;
  }
  void see_anything() {
    for (ColumnRange& range : ranges) {
      range.begin = static_cast<uint32_t>(random_() % task.list.n);
      range.end = range.begin + 1 + static_cast<uint32_t>(random_() % (task.list.n - range.begin));
    }
  }
  void shuffle_slots() {
    slots.resize(capacity_);
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), random_);
    task.list.slots = slots.data();
  }

  size_t out_floats() const { return task.n_rows * task.shape.n_heads * task.shape.head_dim; }

 private:
  std::vector<float> numbers(size_t n, float size) {
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& one : x) one = bf16_to_float(float_to_bf16(normal(random_) * size + 0.01F));
    return x;
  }
  // bf16 has fewer bits than f16, so only what lies below f16's smallest normal number rounds: not above
  // 2^-24.
  static std::vector<std::byte> stored(const std::vector<float>& x, ColumnType type, size_t head_dim) {
    if (type == ColumnType::kQ8) return stored_codes(x, head_dim);
    std::vector<std::byte> bytes(x.size() * (type == ColumnType::kF32 ? 4 : 2));
    for (size_t i = 0; i < x.size(); ++i) {
      if (type == ColumnType::kF32) {
        reinterpret_cast<float*>(bytes.data())[i] = x[i];
      } else {
        reinterpret_cast<uint16_t*>(bytes.data())[i] = float_to_half(x[i]);
      }
    }
    return bytes;
  }
  // Multiples of 1/32 up to 127/32, which bf16 holds exactly.
  static std::vector<std::byte> stored_codes(const std::vector<float>& x, size_t head_dim) {
    const size_t width = column_bytes(ColumnType::kQ8, head_dim);
    std::vector<std::byte> bytes(x.size() / head_dim * width);
    const uint16_t scale = float_to_half(1.0F / 32);
    for (size_t i = 0; i < x.size(); ++i) {
      std::byte* column = &bytes[i / head_dim * width];
      const float code = std::clamp(std::nearbyint(x[i] * 32), -127.0F, 127.0F);
      column[i % head_dim] = static_cast<std::byte>(static_cast<int8_t>(code));
      std::memcpy(column + head_dim + i % head_dim / kColumnBlock * 2, &scale, 2);
    }
    return bytes;
  }
  std::mt19937 random_;
  size_t capacity_ = 0;
};

// The scale of 1 / sqrt(head_dim), moved to where scale * log2(e) is a power of two.
float exact_scale(size_t head_dim) {
  return std::exp2(std::round(std::log2(1.442695F / std::sqrt(static_cast<float>(head_dim))))) * 0.693147181F;
}
AttentionShape shape_of(size_t n_heads, size_t n_kv_heads, size_t head_dim) {
  return {n_heads, n_kv_heads, head_dim, exact_scale(head_dim), 0};
}

// How far an output may lie from the reference. A score's fp32 sum of head_dim products is off by at most
// head_dim * 2^-24 of the sum of their sizes, and a weight by that much and its own rounding: 2^-9 and an
// exponential to 1e-4 where weights are bf16 (avx512), some 2^-22 in floats (capped scores). Integers (avx2)
// are rounded to 2^-12 of the largest of their tile, up to 64 weights independently: four standard deviations
// of the sum of 64 uniform errors, 4 * sqrt(64 / 12) * 2^-12, and 2^-12 for the queries, keys and values. The
// output is a mean of values by such weights, in which an error of a weight counts at most twice: in the sum
// and in what the sum is divided by.
float tolerance(const Kernels& kernels, const Case& c) {
  const AttentionShape& shape = c.task.shape;
  float largest_score = 0;
  for (size_t i = 0; i < c.q.size(); i += shape.head_dim) {
    float sum = 0;
    for (size_t j = 0; j < shape.head_dim; ++j)
      sum += std::fabs(c.q[i + j]) * 4;  // keys are below 4 but for a few
    largest_score = std::max(largest_score, sum * shape.scale);
  }
  const float score_error = largest_score * static_cast<float>(shape.head_dim) * 0x1p-24F;
  float weight_error = 0x1p-21F;
  if (rounds_to_bf16(kernels)) weight_error = 0x1p-9F + 1e-4F;
  if (kernels.name == "avx2" && shape.softcap == 0) weight_error = 9.3F * 0x1p-12F + 0x1p-12F;
  return 2 * c.largest_value * (score_error + weight_error);
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return std::numeric_limits<float>::infinity();
    largest = std::max(largest, std::fabs(a[i] - b[i]));
  }
  return largest;
}

const Kernels& reference_kernels() {
  return **kernels_for("reference");
}

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
    std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
    kernels_->attend(c.task, 0, n_kv_heads, out.data(), scratch_);
    EXPECT_LE(largest_difference(out, expected), allowed);
    EXPECT_LE(largest_difference(in_parts(c), expected), allowed);
    EXPECT_LE(largest_difference(packed(c), expected), allowed);
    std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
    AttentionScratch scratch(1);
    attention(*kernels_, c.task, out.data(), Team::alone(), scratch);
    EXPECT_LE(largest_difference(out, expected), allowed);
  }

  std::vector<float> packed(const Case& c) {
    AttentionTask task = c.task;
    Buffer<std::byte> room;
    pack_columns(*kernels_, task, room, Team::alone());
    std::vector<float> out(c.out_floats(), std::numeric_limits<float>::quiet_NaN());
    kernels_->attend(task, 0, task.shape.n_kv_heads, out.data(), scratch_);
    return out;
  }

  std::vector<float> in_parts(const Case& c) {
    const AttentionShape& shape = c.task.shape;
    const auto n = static_cast<uint32_t>(c.task.list.n);
    const uint32_t cuts[] = {0, n / 7, n / 7, n / 2 + 1 > n ? n : n / 2 + 1, n};
    const size_t part_floats = c.task.n_rows * shape.n_heads * partial_stride(shape);
    std::vector<float> partials(4 * part_floats, std::numeric_limits<float>::quiet_NaN());
    for (size_t part = 0; part < 4; ++part) {
      for (size_t kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
        kernels_->attend_partial(c.task, kv_head, kv_head + 1, {cuts[part], cuts[part + 1]},
                                 partials.data() + part * part_floats, scratch_);
      }
    }
    std::vector<float> out(c.out_floats());
    kernels_->merge_partials(shape, partials.data(), 4, c.task.n_rows, out.data());
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

TEST_P(Attention, ALastRowAloneIsThatOfASingleRow) {
  for (const size_t n_rows : {1, 2, 9, 16, 17, 40}) {
    for (const size_t n_columns : {90, 1100}) {
      const Case c(shape_of(6, 2, 64), n_rows, n_columns, ColumnType::kF16, 2, 15);
      const size_t row_floats = c.out_floats() / n_rows;
      AttentionScratch scratch(1);
      std::vector<float> out(c.out_floats());
      attention(*kernels_, c.task, out.data(), Team::alone(), scratch, true);
      std::vector<float> expected(c.out_floats());
      reference_kernels().attend(c.task, 0, 2, expected.data(), scratch_);
      EXPECT_LE(largest_difference(out, expected), tolerance(*kernels_, c));
      std::vector<float> last(row_floats);
      const AttentionTask task = rows_of(c.task, n_rows - 1, n_rows);
      attention(*kernels_, task, last.data(), Team::alone(), scratch, true);
      const std::vector<float> of_block(out.end() - static_cast<std::ptrdiff_t>(row_floats), out.end());
      EXPECT_EQ(of_block, last) << n_rows << " rows";
    }
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

TEST_P(Attention, EveryTeamGivesTheSameBits) {
  ThreadPool pool(3);
  for (const size_t n_rows : {1, 5, 150}) {
    Case c(shape_of(9, 3, 64), n_rows, 1100, ColumnType::kF16, 2, 12);
    AttentionScratch scratch(3);
    std::vector<float> alone(c.out_floats());
    std::vector<float> all(c.out_floats());
    attention(*kernels_, c.task, alone.data(), Team::alone(2), scratch);
    attention(*kernels_, c.task, all.data(), Team::all(pool), scratch);
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
