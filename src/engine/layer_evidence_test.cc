#include "engine/layer_evidence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>

#include "kernels/reference/attention.h"

namespace lazyfill {
namespace {

// Four query heads that share two kv heads, over n columns that lie in slots 1, 2, ... or in reverse.
struct Layer {
  static constexpr size_t kHeads = 4, kKvHeads = 2, kDim = 8, kCapacity = 40;

  explicit Layer(const Kernels& of, ColumnType type, size_t n, bool reversed) : kernels(of), random(7) {
    seen.shape = {kHeads, kKvHeads, kDim, 0.35F, 0};
    const size_t bytes = kKvHeads * kCapacity * column_bytes(type, kDim);
    keys.resize(bytes);
    values.resize(bytes);
    for (std::vector<std::byte>* half : {&keys, &values})
      of.store_columns(type, numbers(kCapacity * kKvHeads * kDim).data(), kCapacity, kKvHeads, kDim,
                       kCapacity, 0, half->data());
    seen.columns = {type, keys.data(), values.data(), kCapacity};
    for (size_t i = 0; i < n; ++i) slots.push_back(static_cast<int32_t>(reversed ? n - i : i + 1));
    seen.list = {reversed ? slots.data() : nullptr, 1, n};
    for (int row = 0; row < 2; ++row) queries.push_back(numbers(kHeads * kDim));
    voters = {{queries[0].data(), {1, static_cast<uint32_t>(n - 1)}},
              {queries[1].data(), {0, static_cast<uint32_t>(n)}}};
  }

  std::vector<float> numbers(size_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& one : x) one = normal(random);
    return x;
  }
  std::vector<float> column(const std::vector<std::byte>& half, size_t kv_head, size_t i) const {
    const size_t bytes = column_bytes(seen.columns.type, kDim);
    std::vector<float> x(kDim);
    reference::load_column(seen.columns.type,
                           half.data() + (kv_head * kCapacity + static_cast<size_t>(slots[i])) * bytes, kDim,
                           x.data());
    return x;
  }
  // By the formula, in double.
  std::vector<double> attention_of(size_t head) const {
    std::vector<double> mean(slots.size());
    for (const VotingRow& voter : voters) {
      std::vector<double> weights(slots.size());
      double sum = 0;
      for (size_t i = voter.range.begin; i < voter.range.end; ++i) {
        const std::vector<float> key = column(keys, head / (kHeads / kKvHeads), i);
        double dot = 0;
        for (size_t d = 0; d < kDim; ++d)
          dot += static_cast<double>(voter.q[head * kDim + d]) * static_cast<double>(key[d]);
        sum += weights[i] = std::exp(0.35 * dot);
      }
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += weights[i] / sum / 2;
    }
    return mean;
  }
  LayerEvidence evidence() { return {kernels, Team::alone(), scratch, seen, voters}; }

  const Kernels& kernels;
  std::mt19937 random;
  std::vector<std::byte> keys, values;
  std::vector<int32_t> slots;
  std::vector<std::vector<float>> queries;
  std::vector<VotingRow> voters;
  AttentionTask seen;
  AttentionScratch scratch{1};
};

struct Case {
  std::string_view isa;
  ColumnType type;
  size_t n;
  bool reversed;
};

class Evidences : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam().isa)) GTEST_SKIP() << "this machine lacks the instructions";
  }
};

// Products of the fast tables are taken in 16 bits: probabilities are off by about 2^-8 of themselves.
TEST_P(Evidences, AttentionIsTheFormulaByHeadAndOnAverage) {
  const Case& c = GetParam();
  const Kernels& kernels = **kernels_for(c.isa);
  Layer layer(kernels, c.type, c.n, c.reversed);
  LayerEvidence evidence = layer.evidence();
  const std::span<const float> by_head = evidence.attention_by_head();
  const std::span<const float> mean = evidence.attention();
  ASSERT_EQ(by_head.size(), Layer::kHeads * c.n);
  ASSERT_EQ(mean.size(), c.n);
  const double tolerance = c.isa == "reference" ? 1e-6 : 0.01;
  std::vector<double> expected_mean(c.n);
  for (size_t head = 0; head < Layer::kHeads; ++head) {
    const std::vector<double> expected = layer.attention_of(head);
    for (size_t i = 0; i < c.n; ++i) {
      EXPECT_NEAR(static_cast<double>(by_head[head * c.n + i]), expected[i], tolerance) << head << ' ' << i;
      expected_mean[i] += expected[i] / Layer::kHeads;
    }
  }
  for (size_t i = 0; i < c.n; ++i)
    EXPECT_NEAR(static_cast<double>(mean[i]), expected_mean[i], tolerance) << i;
  EXPECT_EQ(evidence.attention_by_head().data(), by_head.data());  // once is enough
}

TEST_P(Evidences, ValueNormsAreThoseOfTheStoredValues) {
  const Case& c = GetParam();
  Layer layer(**kernels_for(c.isa), c.type, c.n, c.reversed);
  LayerEvidence evidence = layer.evidence();
  const std::span<const float> norms = evidence.value_norms();
  ASSERT_EQ(norms.size(), Layer::kKvHeads * c.n);
  for (size_t kv_head = 0; kv_head < Layer::kKvHeads; ++kv_head) {
    for (size_t i = 0; i < c.n; ++i) {
      double sum = 0;
      for (float x : layer.column(layer.values, kv_head, i))
        sum += static_cast<double>(x) * static_cast<double>(x);
      EXPECT_FLOAT_EQ(norms[kv_head * c.n + i], static_cast<float>(std::sqrt(sum)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, Evidences,
                         testing::Values(Case{"reference", ColumnType::kF32, 17, false},
                                         Case{"reference", ColumnType::kF32, 5, true},
                                         Case{"avx2", ColumnType::kF16, 33, false},
                                         Case{"avx2", ColumnType::kQ8, 9, true},
                                         Case{"avx512", ColumnType::kF16, 9, true},
                                         Case{"avx512", ColumnType::kQ8, 33, false}));

}  // namespace
}  // namespace lazyfill
