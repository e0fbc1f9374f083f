#include "kernels/sparse_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "base/half.h"
#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

std::vector<size_t> chosen(std::span<const float> weights, size_t first_own, float mass) {
  std::vector<uint8_t> kept;
  choose_groups(weights, first_own, mass, kept);
  std::vector<size_t> groups;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] != 0) groups.push_back(i);
  }
  return groups;
}

// Group i of weights weighs sums[i], in its last column (of a last group that is cut short: its first).
std::vector<float> grouped(std::initializer_list<float> sums, size_t n_columns) {
  std::vector<float> weights(n_columns, 0.0F);
  size_t group = 0;
  for (const float sum : sums) {
    const size_t last = std::min((group + 1) * kSparseGroup, n_columns) - 1;
    weights[last] = sum;
    ++group;
  }
  return weights;
}

TEST(ChooseGroups, FewestThatHoldTheMass) {
  // The block's own columns begin in group 8: groups 4 to 8 are near, and 0 is the first.
  const std::vector<float> weights = grouped({1, 4, 2, 3, 1, 1, 1, 1, 6}, 140);
  using Groups = std::vector<size_t>;
  EXPECT_EQ(chosen(weights, 8 * kSparseGroup, 0.5F),
            (Groups{0, 4, 5, 6, 7, 8}));  // 11 of 20 without a choice
  EXPECT_EQ(chosen(weights, 8 * kSparseGroup, 0.6F), (Groups{0, 1, 4, 5, 6, 7, 8}));
  EXPECT_EQ(chosen(weights, 8 * kSparseGroup, 0.76F), (Groups{0, 1, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(chosen(weights, 8 * kSparseGroup, 1), (Groups{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(ChooseGroups, OlderOfEqualOnes) {
  const std::vector<float> weights = grouped({1, 2, 2, 2, 2, 0, 0, 0, 0, 1}, 160);
  EXPECT_EQ(chosen(weights, 9 * kSparseGroup, 0.59F), (std::vector<size_t>{0, 1, 2, 5, 6, 7, 8, 9}));
}

TEST(ChooseGroups, NothingToChoose) {
  EXPECT_EQ(chosen(std::vector<float>(1, 1.0F), 0, 0.5F), (std::vector<size_t>{0}));
  EXPECT_EQ(chosen(std::vector<float>(100, 0.0F), 99, 0.5F).size(), 6U);  // group 1 lies beyond the near ones
}

// Rows that see everything before them. Some columns have keys that most queries like, so that a part of the
// columns holds most of the attention.
struct Case {
  AttentionTask task;
  std::vector<float> q;
  std::vector<uint16_t> keys, values;
  std::vector<ColumnRange> ranges;
  std::vector<int32_t> slots;

  Case(const AttentionShape& shape, size_t n_rows, size_t n_columns, bool scattered) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const size_t d = shape.head_dim;
    q.resize(n_rows * shape.n_heads * d);
    for (float& x : q) x = normal(random) + 0.5F;
    keys.resize(shape.n_kv_heads * n_columns * d);
    values.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t column = i / d % n_columns;
      const float liked = column / 40 % 5 == 1 ? 0.8F : 0.0F;
      keys[i] = float_to_half(normal(random) * 0.5F + liked);
      values[i] = float_to_half(normal(random));
    }
    for (size_t row = 0; row < n_rows; ++row)
      ranges.push_back({0, static_cast<uint32_t>(n_columns - n_rows + row + 1)});
    if (scattered) {
      slots.resize(n_columns);
      std::iota(slots.begin(), slots.end(), 0);
      std::shuffle(slots.begin(), slots.end(), random);
    }
    task.shape = shape;
    task.columns = {ColumnType::kF16, reinterpret_cast<const std::byte*>(keys.data()),
                    reinterpret_cast<const std::byte*>(values.data()), n_columns};
    task.list = {scattered ? slots.data() : nullptr, 0, n_columns};
    task.q = q.data();
    task.ranges = ranges.data();
    task.n_rows = n_rows;
  }
  size_t out_floats() const { return q.size(); }
};

// softmax over the kept columns of one row and head, in double precision.
void attend_plainly(const Case& c, size_t row, size_t head, const std::vector<uint8_t>& kept, float* out) {
  const AttentionShape& shape = c.task.shape;
  const size_t d = shape.head_dim;
  const size_t n_columns = c.task.list.n;
  const size_t kv_head = head / (shape.n_heads / shape.n_kv_heads);
  std::vector<double> sums(d, 0.0);
  double total = 0;
  for (size_t column = 0; column < c.ranges[row].end; ++column) {
    if (kept[column / kSparseGroup] == 0) continue;
    const size_t slot = c.slots.empty() ? column : static_cast<size_t>(c.slots[column]);
    const size_t at = (kv_head * n_columns + slot) * d;
    double dot = 0;
    for (size_t i = 0; i < d; ++i)
      dot += static_cast<double>(c.q[(row * shape.n_heads + head) * d + i]) * half_to_float(c.keys[at + i]);
    const double weight = std::exp(dot * shape.scale);
    total += weight;
    for (size_t i = 0; i < d; ++i) sums[i] += weight * half_to_float(c.values[at + i]);
  }
  for (size_t i = 0; i < d; ++i) out[i] = static_cast<float>(sums[i] / total);
}

class SparseAttention : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(GetParam());
  }

  // What a block keeps for a kv head, from the scalar probabilities of its sampled rows.
  static std::vector<uint8_t> expected_choice(const Case& c, size_t begin, size_t end, size_t kv_head,
                                              float mass) {
    const Kernels& reference = **kernels_for("reference");
    const size_t n = c.ranges[end - 1].end;
    std::vector<float> weights(n, 0.0F);
    Buffer<std::byte> scratch;
    for (size_t i = 0; i < kSparseSample; ++i) {
      const size_t row = begin + (2 * i + 1) * (end - begin) / (2 * kSparseSample);
      AttentionTask one = c.task;
      one.q += row * c.task.shape.n_heads * c.task.shape.head_dim;
      one.ranges += row;
      one.n_rows = 1;
      one.list.n = n;
      reference.add_attention_probs(one, kv_head, kv_head + 1, weights.data(), scratch);
    }
    std::vector<uint8_t> kept;
    choose_groups(weights, c.ranges[begin].end - 1, mass, kept);
    return kept;
  }

  void expect_as_plain(const Case& c, float mass) {
    const AttentionShape& shape = c.task.shape;
    const size_t group = shape.n_heads / shape.n_kv_heads;
    const size_t d = shape.head_dim;
    std::vector<float> out(c.out_floats(), std::nanf(""));
    AttentionScratch scratch(1);
    AttentionPairs pairs;
    sparse_attention(*kernels_, c.task, mass, out.data(), Team::alone(), scratch, &pairs);
    uint64_t n_kept = 0;
    float largest = 0;
    std::vector<float> expected(d);
    for (size_t begin = 0; begin < c.task.n_rows; begin += kSparseRows) {
      const size_t end = std::min(begin + kSparseRows, c.task.n_rows);
      for (size_t head = 0; head < shape.n_heads; ++head) {
        const std::vector<uint8_t> kept = expected_choice(c, begin, end, head / group, mass);
        for (size_t row = begin; row < end; ++row) {
          for (size_t column = 0; head % group == 0 && column < c.ranges[row].end; ++column)
            n_kept += kept[column / kSparseGroup];
          attend_plainly(c, row, head, kept, expected.data());
          const float* mine = out.data() + (row * shape.n_heads + head) * d;
          for (size_t i = 0; i < d; ++i) {
            ASSERT_TRUE(std::isfinite(mine[i]));
            largest = std::max(largest, std::fabs(mine[i] - expected[i]));
          }
        }
      }
    }
    EXPECT_EQ(pairs.kept.load(), n_kept);
    EXPECT_LT(pairs.kept, pairs.seen * 7 / 10);  // the case is worth its name
    // Values of up to 5, and weights that have 12 bits in the integer kernels: see attention_test.cc. A wrong
    // column shows as .1 and more.
    EXPECT_LT(largest, 0.01F);
  }

  const Kernels* kernels_ = nullptr;
};

TEST_P(SparseAttention, AsPlainAttentionOverTheSameColumns) {
  expect_as_plain(Case({3, 1, 64, 0.125F, 0}, 200, 1000, false), 0.9F);
  expect_as_plain(Case({4, 1, 64, 0.125F, 0}, 96, 900, true), 0.8F);
  expect_as_plain(Case({2, 2, 80, 0.125F, 0}, 33, 700, false), 0.9F);
}

// Not the same bits: the integer kernels round the values of a tile together, and blocks end elsewhere.
TEST_P(SparseAttention, DenseWhereNothingIsLeftOut) {
  const Case c({6, 2, 64, 0.02F, 0}, 130, 640, false);  // all scores are near zero: nobody is without weight
  std::vector<float> sparse(c.out_floats());
  std::vector<float> dense(c.out_floats());
  AttentionScratch scratch(1);
  AttentionPairs pairs;
  sparse_attention(*kernels_, c.task, 1, sparse.data(), Team::alone(), scratch, &pairs);
  attention(*kernels_, c.task, RowForm::kMany, dense.data(), Team::alone(), scratch);
  EXPECT_EQ(pairs.kept.load(), pairs.seen.load());
  for (size_t i = 0; i < dense.size(); ++i) ASSERT_NEAR(sparse[i], dense[i], 1e-4F);
}

TEST_P(SparseAttention, SameBitsForEveryTeam) {
  const Case c({3, 3, 64, 0.125F, 0}, 200, 800, false);
  std::vector<float> one(c.out_floats());
  std::vector<float> three(c.out_floats());
  AttentionScratch scratch(3);
  ThreadPool pool(3);
  sparse_attention(*kernels_, c.task, 0.9F, one.data(), Team::alone(), scratch);
  sparse_attention(*kernels_, c.task, 0.9F, three.data(), Team::all(pool), scratch);
  EXPECT_EQ(one, three);
}

INSTANTIATE_TEST_SUITE_P(Isa, SparseAttention, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

TEST(FitsSparseAttention, ManyRowsThatSeeMuch) {
  Case c({1, 1, 8, 1, 0}, 40, 600, false);
  EXPECT_TRUE(fits_sparse_attention(c.task));
  c.task.n_rows = 20;
  EXPECT_FALSE(fits_sparse_attention(c.task));
  c.task.n_rows = 40;
  c.ranges[39].begin = 1;  // a sliding window
  EXPECT_FALSE(fits_sparse_attention(c.task));
  EXPECT_FALSE(fits_sparse_attention(Case({1, 1, 8, 1, 0}, 40, 500, false).task));
}

}  // namespace
}  // namespace lazyfill
