#include "kernels/sparse_attention.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace lazyfill {
namespace {

// One block of rows and one kv head.
class SparseBlock {
 public:
  SparseBlock(const Kernels& kernels, const AttentionTask& task, size_t kv_head,
              AttentionScratch::PerThread& scratch, AttentionPairs* pairs)
      : k_(kernels),
        task_(task),
        kv_head_(kv_head),
        n_columns_(task.ranges[task.n_rows - 1].end),
        scratch_(scratch),
        s_(scratch.sparse),
        pairs_(pairs) {}

  void attend(float mass, float* out) {
    weigh_columns();
    choose_groups({s_.weights.data(), n_columns_}, task_.ranges[0].end - 1, mass, s_.kept);
    list_columns();
    AttentionTask task = task_;
    task.list = {s_.slots.data(), 0, s_.slots.size()};
    task.ranges = s_.ranges.data();
    task.packed = nullptr;
    if (pairs_ != nullptr) count(task);
    k_.attend(task, kv_head_, kv_head_ + 1, out, scratch_.kernel);
  }

 private:
  // weights [n_columns]: the attention of the sampled rows, which lie evenly in the block.
  void weigh_columns() {
    const size_t q_dim = task_.shape.n_heads * task_.shape.head_dim;
    const size_t n = std::min(kSparseSample, task_.n_rows);
    s_.q.resize(n * q_dim);
    s_.ranges.resize(n);
    for (size_t i = 0; i < n; ++i) {
      const size_t row = (2 * i + 1) * task_.n_rows / (2 * n);
      std::copy_n(task_.q + row * q_dim, q_dim, s_.q.data() + i * q_dim);
      s_.ranges[i] = task_.ranges[row];
    }
    AttentionTask sample = task_;
    sample.q = s_.q.data();
    sample.ranges = s_.ranges.data();
    sample.n_rows = n;
    sample.list.n = n_columns_;
    s_.weights.assign(n * n_columns_, 0.0F);
    k_.add_attention_probs(sample, kv_head_, kv_head_ + 1, s_.weights.data(), scratch_.kernel);
    for (size_t i = 1; i < n; ++i)
      k_.add(s_.weights.data(), s_.weights.data() + i * n_columns_, 1, n_columns_);
  }

  // The columns of the kept groups, and what each row sees of them.
  void list_columns() {
    const ColumnList& list = task_.list;
    s_.slots.clear();
    s_.ranges.resize(task_.n_rows);
    size_t row = 0;
    for (size_t column = 0; column < n_columns_; ++column) {
      for (; row < task_.n_rows && task_.ranges[row].end <= column; ++row) see_listed(row);
      if (s_.kept[column / kSparseGroup] == 0) continue;
      s_.slots.push_back(list.slots != nullptr ? list.slots[column]
                                               : list.first + static_cast<int32_t>(column));
    }
    for (; row < task_.n_rows; ++row) see_listed(row);
  }
  void see_listed(size_t row) { s_.ranges[row] = {0, static_cast<uint32_t>(s_.slots.size())}; }

  void count(const AttentionTask& task) {
    for (size_t row = 0; row < task_.n_rows; ++row) {
      pairs_->seen += task_.ranges[row].end;
      pairs_->kept += task.ranges[row].end;
    }
  }

  const Kernels& k_;
  const AttentionTask& task_;
  size_t kv_head_;
  size_t n_columns_;
  AttentionScratch::PerThread& scratch_;
  AttentionScratch::Sparse& s_;
  AttentionPairs* pairs_;
};

}  // namespace

bool fits_sparse_attention(const AttentionTask& task) {
  if (task.n_rows < kSparseMinRows || task.ranges[0].end < kSparseMinColumns) return false;
  return std::all_of(task.ranges, task.ranges + task.n_rows,
                     [](const ColumnRange& range) { return range.begin == 0; });
}

void choose_groups(std::span<const float> weights, size_t first_own, float mass, std::vector<uint8_t>& kept) {
  const size_t n_groups = (weights.size() + kSparseGroup - 1) / kSparseGroup;
  const size_t near = first_own > kSparseNear ? (first_own - kSparseNear) / kSparseGroup : 0;
  kept.assign(n_groups, 0);
  double total = 0;
  double held = 0;
  // Weights are not negative, so their bits are in their order; the complement of the group decides among
  // equals.
  std::vector<uint64_t> others;
  others.reserve(n_groups);
  for (size_t group = 0; group < n_groups; ++group) {
    const size_t end = std::min((group + 1) * kSparseGroup, weights.size());
    float sum = 0;
    for (size_t column = group * kSparseGroup; column < end; ++column) sum += weights[column];
    total += static_cast<double>(sum);
    if (group == 0 || group >= near) {
      kept[group] = 1;
      held += static_cast<double>(sum);
    } else {
      others.push_back(uint64_t{std::bit_cast<uint32_t>(sum)} << 32 | (UINT32_MAX - group));
    }
  }
  std::sort(others.begin(), others.end(), std::greater<>());
  for (const uint64_t other : others) {
    if (held >= static_cast<double>(mass) * total) break;
    kept[UINT32_MAX - static_cast<uint32_t>(other)] = 1;
    held += static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(other >> 32)));
  }
}

void sparse_attention(const Kernels& kernels, const AttentionTask& task, float mass, float* out, Team team,
                      AttentionScratch& scratch, AttentionPairs* pairs) {
  const AttentionShape& shape = task.shape;
  const size_t n_blocks = (task.n_rows + kSparseRows - 1) / kSparseRows;
  team.for_each(n_blocks * shape.n_kv_heads, [&](size_t i, size_t thread) {
    // Late rows see the most columns: they go first.
    const size_t begin = (n_blocks - 1 - i / shape.n_kv_heads) * kSparseRows;
    const AttentionTask block = rows_of(task, begin, std::min(begin + kSparseRows, task.n_rows));
    SparseBlock(kernels, block, i % shape.n_kv_heads, scratch.of(thread), pairs)
        .attend(mass, out + begin * shape.n_heads * shape.head_dim);
  });
}

}  // namespace lazyfill
