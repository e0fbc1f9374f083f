// A row's attention does not depend on the rows beside it: what batches, drafts and put-aside prompts stand
// on.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/attention_case.h"

namespace lazyfill {
namespace {

class AttentionRows : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(GetParam());
  }

  // Rows [begin, end) as attend() gives them in a block of their own.
  std::vector<float> block_of(const AttentionTask& task, size_t begin, size_t end) {
    std::vector<float> out((end - begin) * task.shape.n_heads * task.shape.head_dim);
    kernels_->attend(rows_of(task, begin, end), 0, task.shape.n_kv_heads, out.data(), scratch_);
    return out;
  }

  void expect_same_bits_in_blocks(const Case& c) {
    AttentionTask packed = c.task;
    Buffer<std::byte> room;
    pack_columns(*kernels_, packed, room, Team::alone());
    AttentionTask alone = c.task;
    alone.alone = true;
    for (const AttentionTask& task : {c.task, packed, alone}) {
      const std::vector<float> whole = block_of(task, 0, task.n_rows);
      std::vector<float> joined;
      for (const auto& [begin, end] :
           {std::pair<size_t, size_t>{0, 1}, {1, 4}, {4, 37}, {37, 99}, {99, 100}}) {
        const std::vector<float> block = block_of(task, begin, end);
        joined.insert(joined.end(), block.begin(), block.end());
      }
      EXPECT_EQ(joined, whole);
      if (!task.alone) {
        EXPECT_EQ(whole, block_of(packed, 0, task.n_rows));
      }
    }
  }

  const Kernels* kernels_ = nullptr;
  Buffer<std::byte> scratch_;
};

// In whatever blocks rows come, packed or not: peaky scores move the references of some rows only.
TEST_P(AttentionRows, ARowHasTheSameBitsInEveryBlock) {
  for (const size_t head_dim : {64, 72}) {
    for (const float softcap : {0.0F, 4.0F}) {
      AttentionShape shape = shape_of(6, 2, head_dim);
      shape.softcap = softcap;
      for (const uint32_t window : {0U, 70U}) {
        Case c(shape, 100, 333, ColumnType::kF16, 20, 15);
        if (window > 0) c.see_window(window);
        expect_same_bits_in_blocks(c);
      }
    }
  }
}

TEST_P(AttentionRows, AGroupHasTheSameBitsBesideOthers) {
  const Case a(shape_of(6, 2, 64), 3, 1100, ColumnType::kF16, 2, 15);
  const Case b(shape_of(6, 2, 64), 12, 700, ColumnType::kF16, 2, 16);
  const Case c(shape_of(6, 2, 64), 40, 90, ColumnType::kF16, 2, 17);
  const Case* const cases[] = {&a, &b, &c};
  AttentionScratch scratch(3);
  ThreadPool pool(3);
  std::vector<std::vector<float>> together;
  std::vector<AttentionTask> tasks;
  for (const Case* one : cases) {
    together.emplace_back(one->out_floats());
    tasks.push_back(one->task);
    tasks.back().alone = form_of_rows(one->task.n_rows) == RowForm::kAlone;
  }
  std::vector<AttentionGroup> groups;
  for (size_t i = 0; i < 3; ++i)
    groups.push_back({{&tasks[i], 1}, form_of_rows(tasks[i].n_rows), together[i].data()});
  attention(*kernels_, groups, Team::all(pool), scratch);
  for (size_t i = 0; i < 3; ++i) {
    std::vector<float> alone(cases[i]->out_floats());
    attention(*kernels_, cases[i]->task, groups[i].form, alone.data(), Team::alone(), scratch);
    EXPECT_EQ(together[i], alone) << "group " << i;
    std::vector<float> expected(cases[i]->out_floats());
    reference_kernels().attend(cases[i]->task, 0, 2, expected.data(), scratch_);
    EXPECT_LE(largest_difference(alone, expected), tolerance(*kernels_, *cases[i]));
  }
}

// Columns in two places, and some rows that see nothing of one of them.
TEST_P(AttentionRows, PiecesAreMerged) {
  for (const size_t n_rows : {1, 9, 40}) {
    for (const RowForm form : {RowForm::kAlone, RowForm::kFew, RowForm::kMany}) {
      const Case c(shape_of(6, 2, 64), n_rows, 400, ColumnType::kF16, 2, 18);
      AttentionTask pieces[2] = {c.task, c.task};
      const size_t border = 372;
      std::vector<ColumnRange> ranges[2];
      for (const ColumnRange& range : c.ranges) {
        const auto end = std::min<uint32_t>(range.end, border);
        ranges[0].push_back({range.begin, end});
        ranges[1].push_back({0, range.end - end});
      }
      pieces[0].list.n = border;
      pieces[1].list.n -= border;
      pieces[1].list.first += border;
      for (size_t i = 0; i < 2; ++i) {
        pieces[i].ranges = ranges[i].data();
        pieces[i].alone = form == RowForm::kAlone;
      }
      std::vector<float> out(c.out_floats());
      std::vector<float> expected(c.out_floats());
      const AttentionGroup group{pieces, form, out.data()};
      AttentionScratch scratch(1);
      attention(*kernels_, {&group, 1}, Team::alone(), scratch);
      reference_kernels().attend(c.task, 0, 2, expected.data(), scratch_);
      EXPECT_LE(largest_difference(out, expected), tolerance(*kernels_, c)) << n_rows << " rows";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttentionRows, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
