#include "engine/row_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "model/rope_angles.h"

namespace lazyfill {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

ModelConfig tiny_config() {
  ModelConfig config;
  config.d_model = 3;
  config.n_heads = 1;
  config.head_dim = config.rope_dim = 2;
  config.ropes.resize(2);
  config.ropes[0].frequencies = {0.5};
  config.ropes[1].frequencies = {0.25};
  config.ropes[1].long_frequencies = {0.125};
  config.ropes[1].long_above = 100;
  return config;
}

RowSet::Row row(uint32_t sequence, TokenIndex token) {
  return {sequence, token, token + 1, sequence == 2 ? 200U : 50U};
}

float mark_of(const RowSet::Row& of_row) {
  return static_cast<float>(1000 * of_row.sequence + static_cast<uint32_t>(of_row.token));
}

// Sets of rows whose data say whose they are.
class RowSetTest : public testing::Test {
 protected:
  RowSet rows_of(const std::vector<RowSet::Row>& body, const std::vector<RowSet::Row>& top) const {
    RowSet rows(config_, 3);
    rows.assign(body, top);
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t j = 0; j < config_.d_model; ++j) rows.hidden_of(i)[j] = mark_of(rows.rows()[i]);
      for (size_t j = 0; j < config_.q_dim(); ++j)
        rows.q()[i * config_.q_dim() + j] = -mark_of(rows.rows()[i]);
    }
    return rows;
  }

  // "sequence:token" of each row, a bar before the top ones; checks what they carry.
  std::string text_of(RowSet& rows) const {
    std::string text;
    for (size_t i = 0; i < rows.size(); ++i) {
      const RowSet::Row& of_row = rows.rows()[i];
      if (i == rows.n_body()) text += "| ";
      text += std::to_string(of_row.sequence) + ":" + std::to_string(of_row.token) + " ";
      for (size_t j = 0; j < config_.d_model; ++j) EXPECT_EQ(rows.hidden_of(i)[j], mark_of(of_row));
      for (size_t j = 0; j < config_.q_dim(); ++j) EXPECT_EQ(rows.q_of(i)[j], -mark_of(of_row));
      for (size_t rope = 0; rope < config_.ropes.size(); ++rope) {
        std::vector<float> expected(config_.rope_dim);
        rope_angles(config_.ropes[rope], {&of_row.position, 1}, of_row.context_tokens, expected.data());
        const float* angles = rows.angles(rope) + i * config_.rope_dim;
        EXPECT_THAT(std::vector(angles, angles + config_.rope_dim), ElementsAreArray(expected)) << text;
      }
    }
    expect_ranges(rows);
    return text;
  }

  // Every row of a sequence is found by row_of(), in ascending order.
  static void expect_ranges(const RowSet& rows) {
    size_t n_found = 0;
    for (size_t s = 0; s < 3; ++s) {
      const std::vector<TokenIndex> tokens = rows.tokens_of(s);
      EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
      for (size_t i = 0; i < rows.n_of(s); ++i) {
        EXPECT_EQ(rows.rows()[rows.row_of(s, i)].sequence, s);
        EXPECT_EQ(rows.rows()[rows.row_of(s, i)].token, tokens[i]);
        EXPECT_EQ(rows.row_of(s, i) < rows.n_body(), i < rows.body_of(s).size());
      }
      n_found += tokens.size();
    }
    EXPECT_EQ(n_found, rows.size());
  }

  const ModelConfig config_ = tiny_config();
};

TEST_F(RowSetTest, BodiesComeBeforeTops) {
  RowSet rows = rows_of({row(0, 0), row(0, 1), row(2, 7)}, {row(0, 2), row(1, 5), row(2, 8)});
  EXPECT_EQ(text_of(rows), "0:0 0:1 2:7 | 0:2 1:5 2:8 ");
  EXPECT_THAT(rows.tokens_of(0), ElementsAre(0, 1, 2));
  EXPECT_THAT(rows.tokens_of(1), ElementsAre(5));
  EXPECT_EQ(rows.row_of(2, 0), 2U);
  EXPECT_EQ(rows.row_of(2, 1), 5U);
}

TEST_F(RowSetTest, RowsLeave) {
  const struct {
    std::vector<uint8_t> stays;
    std::string expected;
  } cases[] = {
      {{1, 1, 1, 1, 1, 1, 1, 1}, "0:0 0:1 0:2 1:4 1:5 | 0:3 1:6 2:9 "},
      {{0, 1, 0, 1, 0, 1, 1, 1}, "0:1 1:4 | 0:3 1:6 2:9 "},
      {{0, 0, 0, 1, 1, 0, 1, 1}, "1:4 1:5 | 1:6 2:9 "},  // a sequence that has ended
      {{1, 1, 1, 0, 0, 1, 0, 0}, "0:0 0:1 0:2 | 0:3 "},
      {{0, 0, 0, 0, 0, 0, 0, 1}, "| 2:9 "},
      {{0, 0, 1, 0, 0, 0, 0, 0}, "0:2 "},
      {{0, 0, 0, 0, 0, 0, 0, 0}, ""},
  };
  for (const auto& [stays, expected] : cases) {
    RowSet rows =
        rows_of({row(0, 0), row(0, 1), row(0, 2), row(1, 4), row(1, 5)}, {row(0, 3), row(1, 6), row(2, 9)});
    rows.keep(stays);
    EXPECT_EQ(text_of(rows), expected);
  }
}

TEST_F(RowSetTest, RowsComeIn) {
  const struct {
    std::vector<RowSet::Row> others;
    std::string expected;
  } cases[] = {
      {{}, "0:2 0:5 2:1 | 0:6 1:3 2:2 "},
      {{row(0, 0)}, "0:0 0:2 0:5 2:1 | 0:6 1:3 2:2 "},
      {{row(0, 3), row(0, 4)}, "0:2 0:3 0:4 0:5 2:1 | 0:6 1:3 2:2 "},
      {{row(1, 0), row(1, 2)}, "0:2 0:5 1:0 1:2 2:1 | 0:6 1:3 2:2 "},  // it had no body
      {{row(2, 0)}, "0:2 0:5 2:0 2:1 | 0:6 1:3 2:2 "},
      {{row(0, 1), row(1, 1), row(2, 0)}, "0:1 0:2 0:5 1:1 2:0 2:1 | 0:6 1:3 2:2 "},
  };
  for (const auto& [others, expected] : cases) {
    RowSet rows = rows_of({row(0, 2), row(0, 5), row(2, 1)}, {row(0, 6), row(1, 3), row(2, 2)});
    RowSet coming = rows_of(others, {});
    rows.insert(coming);
    EXPECT_EQ(text_of(rows), expected);
  }
}

TEST_F(RowSetTest, RowsComeInBehindTopsAlone) {
  RowSet rows = rows_of({}, {row(0, 6), row(2, 2)});
  RowSet coming = rows_of({row(0, 1), row(0, 5), row(2, 0)}, {});
  rows.insert(coming);
  EXPECT_EQ(text_of(rows), "0:1 0:5 2:0 | 0:6 2:2 ");
}

// As in a step: some leave, others come in, layer after layer, with room that is left from before.
TEST_F(RowSetTest, RowsLeaveAndComeInByTurns) {
  RowSet rows = rows_of({row(0, 4), row(0, 5), row(1, 4), row(1, 5)}, {row(0, 6), row(1, 6)});
  rows.keep(std::vector<uint8_t>{0, 1, 1, 0, 1, 1});
  RowSet first = rows_of({row(0, 0), row(1, 3)}, {});
  rows.insert(first);
  EXPECT_EQ(text_of(rows), "0:0 0:5 1:3 1:4 | 0:6 1:6 ");
  rows.keep(std::vector<uint8_t>{1, 0, 0, 0, 1, 1});
  RowSet second = rows_of({row(0, 1), row(0, 2), row(0, 3), row(1, 0), row(1, 1), row(1, 2), row(1, 3)}, {});
  rows.insert(second);
  EXPECT_EQ(text_of(rows), "0:0 0:1 0:2 0:3 1:0 1:1 1:2 1:3 | 0:6 1:6 ");
}

}  // namespace
}  // namespace lazyfill
