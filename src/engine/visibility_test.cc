#include "engine/visibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace lazyfill {

static bool operator==(const ColumnRange& a, const ColumnRange& b) {
  return a.begin == b.begin && a.end == b.end;
}
static void PrintTo(const ColumnRange& range, std::ostream* out) {
  *out << "[" << range.begin << ", " << range.end << ")";
}

namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using Tokens = std::vector<TokenIndex>;

ModelConfig tiny_config() {
  ModelConfig config;
  config.d_model = 2;
  config.n_heads = config.n_kv_heads = 1;
  config.head_dim = 2;
  return config;
}

Tokens tokens_up_to(TokenIndex n) {
  Tokens tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

// A sequence's rows, the last n_top of them top ones, as sequence 1 between two others.
RowSet rows_of(const ModelConfig& config, const Tokens& tokens, size_t n_top, const Tokens& positions = {}) {
  std::vector<RowSet::Row> body = {{0, 0, 0, 99}, {0, 1, 1, 99}};
  std::vector<RowSet::Row> top = {{0, 2, 2, 99}};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t position = positions.empty() ? tokens[i] : positions[i];
    (i + n_top < tokens.size() ? body : top).push_back({1, tokens[i], position, 99});
  }
  body.push_back({2, 0, 0, 99});
  top.push_back({2, 1, 1, 99});
  RowSet rows(config, 3);
  rows.assign(body, top);
  return rows;
}

class VisibilityTest : public testing::Test {
 protected:
  LayerColumns columns_with(const Tokens& held, ColumnType type = ColumnType::kF32) {
    LayerColumns columns(type, 1, 2, TokenRing(32));
    std::vector<int32_t> slots;
    columns.append(held, slots);
    return columns;
  }

  const ModelConfig config_ = tiny_config();
};

TEST_F(VisibilityTest, ARowSeesWhatIsBeforeItWithinTheWindow) {
  const struct {
    Tokens held;        // before the step
    Tokens rows;        // the new ones
    Tokens candidates;  // of the held ones: what was not pruned
    size_t window;
    std::vector<ColumnRange> expected;
  } cases[] = {
      {{}, {0, 1, 2}, {}, 0, {{0, 1}, {0, 2}, {0, 3}}},
      {{}, {0, 1, 2, 3}, {}, 2, {{0, 1}, {0, 2}, {1, 3}, {2, 4}}},
      {{0, 1, 2}, {3, 4}, {0, 1, 2}, 0, {{0, 4}, {0, 5}}},
      {{0, 1, 2}, {3, 4}, {0, 1, 2}, 3, {{1, 4}, {2, 5}}},
      {{0, 1, 2}, {3, 4}, {0, 1, 2}, 1, {{3, 4}, {4, 5}}},
      // Of what was dropped nothing is seen: the window counts tokens of the text, not columns.
      {{0, 1, 2, 3, 4}, {5, 8, 9}, {0, 2}, 0, {{0, 3}, {0, 4}, {0, 5}}},
      {{0, 1, 2, 3, 4}, {5, 8, 9}, {0, 2}, 4, {{1, 3}, {2, 4}, {3, 5}}},
      {{0, 1, 2, 3, 4}, {5, 8, 9}, {0, 2}, 99, {{0, 3}, {0, 4}, {0, 5}}},
  };
  for (const auto& one : cases) {
    LayerColumns columns = columns_with(one.held);
    Tokens candidates = one.candidates;
    candidates.insert(candidates.end(), one.rows.begin(), one.rows.end());
    const RowSet rows = rows_of(config_, one.rows, 1);
    Visibility visibility(config_, one.rows[0], {});
    visibility.enter(columns, one.rows, candidates, true);
    visibility.find_ranges(rows, 1, candidates, one.window);
    EXPECT_THAT(visibility.ranges(), ElementsAreArray(one.expected)) << "window " << one.window;
    EXPECT_EQ(visibility.list().n, candidates.size());
    for (TokenIndex token : one.rows) EXPECT_TRUE(columns.has(token));
  }
}

// Rows that came back, or left, after the columns of the layer were listed.
TEST_F(VisibilityTest, RangesOfOtherRowsThanCameIn) {
  LayerColumns columns = columns_with({0, 1, 2, 3});
  const Tokens candidates = {0, 1, 3, 4, 5};
  Visibility visibility(config_, 4, {});
  visibility.enter(columns, Tokens{4, 5}, candidates, true);
  visibility.find_ranges(rows_of(config_, {1, 3, 5}, 1), 1, candidates, 3);
  EXPECT_THAT(visibility.ranges(), ElementsAre(ColumnRange{0, 2}, ColumnRange{1, 3}, ColumnRange{2, 5}));
}

TEST_F(VisibilityTest, OnlyAPromptBySelfIsSeenBeforeItIsRounded) {
  const struct {
    ColumnType type;
    Tokens held;
    bool exact;
    bool expected;
  } cases[] = {
      {ColumnType::kF16, {}, true, true},
      {ColumnType::kF16, {}, false, false},
      {ColumnType::kF16, {0, 1}, true, false},  // what was held is rounded already
      {ColumnType::kF32, {}, true, false},      // nothing is
  };
  for (const auto& one : cases) {
    LayerColumns columns = columns_with(one.held, one.type);
    const auto n_held = static_cast<TokenIndex>(one.held.size());
    const Tokens candidates = tokens_up_to(n_held + 3);
    const Tokens new_tokens(candidates.begin() + n_held, candidates.end());
    Visibility visibility(config_, n_held, {});
    visibility.enter(columns, new_tokens, candidates, one.exact);
    const bool is_exact = visibility.seen().keys != columns.keys();
    EXPECT_EQ(is_exact, one.expected);
    EXPECT_EQ(visibility.seen().type, is_exact ? ColumnType::kF32 : one.type);
    std::vector<NewColumns> added;
    visibility.add_columns({5, 8}, 0, added);
    ASSERT_EQ(added.size(), 1U);
    EXPECT_EQ(added[0].exact_keys != nullptr, is_exact);
    EXPECT_EQ(added[0].type, one.type);
    EXPECT_EQ(added[0].first_slot, n_held);
  }
}

TEST_F(VisibilityTest, BodyAndTopPutTheirColumnsBehindEachOther) {
  LayerColumns columns = columns_with({0, 1});
  Visibility visibility(config_, 2, {});
  visibility.enter(columns, Tokens{2, 3, 4}, tokens_up_to(5), true);
  std::vector<NewColumns> added;
  visibility.add_columns({10, 12}, 0, added);
  visibility.add_columns({20, 20}, 2, added);  // no rows, no columns
  visibility.add_columns({20, 21}, 2, added);
  ASSERT_EQ(added.size(), 2U);
  EXPECT_EQ(added[0].first_slot, columns.slot_of(2));
  EXPECT_EQ(added[1].row_begin, 20U);
  EXPECT_EQ(added[1].first_slot, columns.slot_of(4));
}

TEST_F(VisibilityTest, ViewsOfBodyAndTop) {
  const Tokens tokens = tokens_up_to(30);
  LayerColumns columns = columns_with({});
  const RowSet rows = rows_of(config_, tokens, 1);
  Visibility visibility(config_, 0, {});
  visibility.enter(columns, tokens, tokens, true);
  visibility.find_ranges(rows, 1, tokens, 0);
  std::vector<View> views;
  visibility.add_views(rows.body_of(1), 0, {.first_output = 12, .attention_mass = 0.5F}, views);
  visibility.add_views(rows.top_of(1), 29, {.is_top = true, .first_output = rows.top_of(1).begin}, views);
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].row_begin, 2U);
  EXPECT_EQ(views[0].row_end, 31U);
  EXPECT_EQ(views[0].first_output, 12U);
  EXPECT_EQ(views[0].form, form_of_rows(29));
  EXPECT_EQ(views[0].attention_mass, 0.5F);
  EXPECT_EQ(views[0].rows_behind, 1U);
  EXPECT_EQ(views[1].row_begin, rows.n_body() + 1);
  EXPECT_EQ(views[1].form, RowForm::kAlone);
  EXPECT_EQ(views[1].attention_mass, 1.0F);
  EXPECT_EQ(views[1].rows_behind, 0U);
  ASSERT_EQ(views[0].pieces.size(), 1U);
  ASSERT_EQ(views[1].pieces.size(), 1U);
  EXPECT_EQ(views[0].pieces[0].ranges[28], (ColumnRange{0, 29}));
  EXPECT_EQ(views[1].pieces[0].ranges[0], (ColumnRange{0, 30}));
}

// Two sinks and a window of five: from token 7 on something lies in between.
TEST_F(VisibilityTest, AStreamsRowsSeeSinksAndTheNewestTokens) {
  constexpr uint32_t kNone = 99;
  const struct {
    size_t window;  // of the layer
    std::vector<ColumnRange> expected;
    std::vector<ColumnRange> sinks;  // of 7, 8 and 9
  } cases[] = {
      {0, {{0, 7}, {3, 8}, {4, 9}, {5, 10}}, {{0, 2}, {0, 2}, {0, 2}}},
      {4, {{3, 7}, {4, 8}, {5, 9}, {6, 10}}, {{2, 2}, {2, 2}, {2, 2}}},
      // From its place, the last of seven, six tokens back is the second sink.
      {6, {{1, 7}, {3, 8}, {4, 9}, {5, 10}}, {{1, 2}, {1, 2}, {1, 2}}},
      {7, {{0, 7}, {3, 8}, {4, 9}, {5, 10}}, {{0, 2}, {0, 2}, {0, 2}}},
      {kNone, {{0, 7}, {3, 8}, {4, 9}, {5, 10}}, {{0, 2}, {0, 2}, {0, 2}}},
  };
  const Tokens tokens = {6, 7, 8, 9};
  const std::vector<float> q(3 * config_.q_dim());
  for (const auto& one : cases) {
    SCOPED_TRACE(one.window);
    LayerColumns columns = columns_with(tokens_up_to(6));
    const Tokens candidates = tokens_up_to(10);
    const RowSet rows = rows_of(config_, tokens, 1);
    Visibility visibility(config_, 6, {}, {.n_sinks = 2, .window = 5});
    visibility.enter(columns, tokens, candidates, true);
    visibility.find_ranges(rows, 1, candidates, one.window);
    EXPECT_THAT(visibility.ranges(), ElementsAreArray(one.expected));
    ASSERT_EQ(visibility.n_plain(), 1U);
    std::vector<View> views;
    visibility.add_views(rows.body_of(1), 0, {.sink_q = q.data()}, views);
    visibility.add_views(rows.top_of(1), 3, {.is_top = true, .sink_q = q.data()}, views);
    ASSERT_EQ(views.size(), 3U);
    EXPECT_EQ(views[0].pieces.size(), 1U);
    EXPECT_EQ(views[0].row_end, views[1].row_begin);
    EXPECT_EQ(views[1].pieces[1].q, q.data());
    EXPECT_EQ(views[2].pieces[1].q, q.data() + 2 * config_.q_dim());
    EXPECT_EQ(views[1].pieces[0].ranges[1], one.expected[2]);
    EXPECT_EQ(views[2].pieces[0].ranges[0], one.expected[3]);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(visibility.sinks(1 + i), one.sinks[i]);
    EXPECT_EQ(views[2].pieces[1].ranges[0], one.sinks[2]);
  }
}

// Without sinks there is one piece, and what was pruned is no column.
TEST_F(VisibilityTest, AStreamWithoutSinks) {
  LayerColumns columns = columns_with(tokens_up_to(6));
  const Tokens candidates = {1, 4, 6, 7};
  const RowSet rows = rows_of(config_, {6, 7}, 1);
  Visibility visibility(config_, 6, {}, {.n_sinks = 0, .window = 3});
  visibility.enter(columns, Tokens{6, 7}, candidates, true);
  visibility.find_ranges(rows, 1, candidates, 0);
  EXPECT_THAT(visibility.ranges(), ElementsAre(ColumnRange{1, 3}, ColumnRange{2, 4}));
  std::vector<View> views;
  visibility.add_views(rows.body_of(1), 0, {}, views);
  visibility.add_views(rows.top_of(1), 1, {.is_top = true}, views);
  ASSERT_EQ(views.size(), 2U);
  for (const View& view : views) EXPECT_EQ(view.pieces.size(), 1U);
}

// 4 -> 5 -> 7 and 4 -> 6 -> 8, behind four tokens of which one was dropped.
TEST_F(VisibilityTest, ADraftSeesTheContextAndItsAncestors) {
  const int32_t parents[] = {-1, 0, 0, 1, 2};
  const Tokens drafts = {4, 5, 6, 7, 8};
  const Tokens positions = {4, 5, 5, 6, 6};
  const struct {
    size_t window;
    std::vector<Tokens> expected;
  } cases[] = {
      {0, {{0, 1, 3, 4}, {0, 1, 3, 4, 5}, {0, 1, 3, 4, 6}, {0, 1, 3, 4, 5, 7}, {0, 1, 3, 4, 6, 8}}},
      // Both drafts of one place of the text are as far from what was before.
      {3, {{3, 4}, {3, 4, 5}, {3, 4, 6}, {4, 5, 7}, {4, 6, 8}}},
      {1, {{4}, {5}, {6}, {7}, {8}}},
  };
  for (const auto& [window, expected] : cases) {
    LayerColumns columns = columns_with({0, 1, 2, 3});
    const Tokens candidates = {0, 1, 3, 4, 5, 6, 7, 8};
    const RowSet rows = rows_of(config_, drafts, drafts.size(), positions);
    Visibility visibility(config_, 4, parents);
    visibility.enter(columns, drafts, candidates, true);
    visibility.find_ranges(rows, 1, candidates, window);
    std::vector<View> views;
    visibility.add_views(rows.body_of(1), 0, {}, views);
    visibility.add_views(rows.top_of(1), 0, {.is_top = true}, views);
    ASSERT_EQ(views.size(), drafts.size());
    for (size_t i = 0; i < views.size(); ++i) {
      const Piece& piece = views[i].pieces[0];
      Tokens seen;
      for (uint32_t at = piece.ranges[0].begin; at < piece.ranges[0].end; ++at) {
        for (TokenIndex token = 0; token < 9; ++token) {
          if (columns.slot_of(token) == piece.list.slots[at]) seen.push_back(token);
        }
      }
      EXPECT_EQ(seen, expected[i]) << "draft " << i << ", window " << window;
      EXPECT_EQ(views[i].row_begin, rows.row_of(1, i));
      EXPECT_EQ(views[i].row_end, rows.row_of(1, i) + 1);
      EXPECT_EQ(views[i].rows_behind, views.size() - 1 - i);
    }
  }
}

}  // namespace
}  // namespace lazyfill
