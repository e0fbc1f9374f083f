#include "cache/layer_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace lazyfill {
namespace {

using testing::ElementsAreArray;

constexpr size_t kHeads = 2;
constexpr size_t kHeadDim = 2;
constexpr size_t kCapacity = 8;

LayerColumns make_columns(size_t n_pinned = 0) {
  return LayerColumns(ColumnType::kF32, kHeads, kHeadDim, TokenRing(kCapacity, n_pinned));
}

// The first slot, of tokens that get slots side by side.
int32_t append(LayerColumns& columns, const std::vector<int32_t>& tokens) {
  std::vector<int32_t> slots;
  const ColumnList list = columns.append(tokens, slots);
  EXPECT_EQ(list.slots, nullptr);
  EXPECT_EQ(list.n, tokens.size());
  return list.first;
}

// Writes a recognisable key for a position into its slot of every head.
void write(LayerColumns& columns, int32_t position) {
  for (size_t head = 0; head < kHeads; ++head) {
    const size_t slot = static_cast<size_t>(columns.slot_of(position));
    const float key[kHeadDim] = {static_cast<float>(position), static_cast<float>(head)};
    std::memcpy(columns.keys() + (head * kCapacity + slot) * sizeof(key), key, sizeof(key));
    std::memcpy(columns.values() + (head * kCapacity + slot) * sizeof(key), key, sizeof(key));
  }
}

void expect_written(LayerColumns& columns, int32_t position) {
  for (size_t head = 0; head < kHeads; ++head) {
    const size_t slot = static_cast<size_t>(columns.slot_of(position));
    float key[kHeadDim];
    std::memcpy(key, columns.keys() + (head * kCapacity + slot) * sizeof(key), sizeof(key));
    EXPECT_EQ(key[0], static_cast<float>(position));
    EXPECT_EQ(key[1], static_cast<float>(head));
    std::memcpy(key, columns.values() + (head * kCapacity + slot) * sizeof(key), sizeof(key));
    EXPECT_EQ(key[0], static_cast<float>(position));
  }
}

void append_written(LayerColumns& columns, const std::vector<int32_t>& tokens) {
  std::vector<int32_t> slots;
  columns.append(tokens, slots);
  for (int32_t token : tokens) write(columns, token);
}

TEST(LayerColumns, AppendsInTheOrderOfComputing) {
  LayerColumns columns = make_columns();
  EXPECT_EQ(append(columns, {0, 2, 5}), 0);
  EXPECT_EQ(append(columns, {1, 6}), 3);
  EXPECT_EQ(columns.n_columns(), 5U);
  EXPECT_EQ(columns.slot_of(1), 3);
  EXPECT_TRUE(columns.has(5));
  EXPECT_FALSE(columns.has(3));
}

TEST(LayerColumns, ListIsARangeWhereItCanBe) {
  LayerColumns columns = make_columns();
  append(columns, {0, 2, 5});
  std::vector<int32_t> slots;
  const int32_t tail[] = {2, 5};
  const ColumnList range = columns.list(tail, slots);
  EXPECT_EQ(range.slots, nullptr);
  EXPECT_EQ(range.first, 1);
  EXPECT_EQ(range.n, 2U);

  append(columns, {1, 6});
  const int32_t mixed[] = {0, 1, 2, 6};
  const ColumnList scattered = columns.list(mixed, slots);
  ASSERT_NE(scattered.slots, nullptr);
  EXPECT_THAT(std::vector<int32_t>(scattered.slots, scattered.slots + scattered.n),
              ElementsAreArray({0, 3, 1, 4}));
}

TEST(LayerColumns, UndoForgetsWhatWasAppendedSinceTheMark) {
  LayerColumns columns = make_columns();
  append(columns, {0, 1, 2});
  const size_t before = columns.mark();
  append(columns, {5, 4});
  columns.undo(before);
  EXPECT_EQ(columns.n_columns(), 3U);
  EXPECT_FALSE(columns.has(5));
  EXPECT_EQ(append(columns, {5, 4}), 3);
  columns.undo(0);
  EXPECT_EQ(columns.n_columns(), 0U);
  EXPECT_EQ(append(columns, {0}), 0);
}

TEST(LayerColumns, TruncateMovesRevivedColumnsTogether) {
  LayerColumns columns = make_columns();
  append_written(columns, {0, 2, 6, 1, 7, 3});
  columns.truncate(6);
  EXPECT_EQ(columns.n_columns(), 4U);
  for (int32_t token : {0, 1, 2, 3}) expect_written(columns, token);
  EXPECT_FALSE(columns.has(6));
  EXPECT_FALSE(columns.has(7));
}

TEST(LayerColumns, KeepOnlyMovesTheRestTogether) {
  LayerColumns columns = make_columns();
  append_written(columns, {0, 2, 6, 1, 7, 3});
  const int32_t kept[] = {1, 2, 7};
  columns.keep_only(kept);
  EXPECT_EQ(columns.n_columns(), 3U);
  for (int32_t token : kept) expect_written(columns, token);
  for (int32_t token : {0, 3, 6}) EXPECT_FALSE(columns.has(token));
  columns.undo(0);  // an eviction is part of the step, which may still fail
  EXPECT_EQ(columns.n_columns(), 0U);
}

// What is expected of a draft: of the tokens 2 to 6 the first, third and fifth stay, as tokens 2, 3 and 4.
TEST(LayerColumns, KeepNewGivesAcceptedDraftsTheirPlaces) {
  LayerColumns columns = make_columns();
  append_written(columns, {0, 1});
  const size_t before = columns.mark();
  append_written(columns, {2, 3, 4, 5, 6});
  const size_t kept[] = {0, 2, 4};
  columns.keep_new(before, 2, kept);
  EXPECT_EQ(columns.n_columns(), 5U);
  const int32_t was[] = {2, 4, 6};
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(columns.slot_of(2 + i), 2 + i);
    float key;
    std::memcpy(&key, columns.keys() + static_cast<size_t>(2 + i) * kHeadDim * sizeof(float), sizeof(key));
    EXPECT_EQ(key, static_cast<float>(was[i]));
  }
  for (int32_t token : {5, 6}) EXPECT_FALSE(columns.has(token));
  EXPECT_EQ(append(columns, {5}), 5);
}

TEST(LayerColumns, AStreamUsesForgottenSlotsAgain) {
  LayerColumns columns = make_columns(2);
  append_written(columns, {0, 1, 2, 3, 4, 5, 6, 7});
  for (int32_t token = 8; token < 1000; ++token) {
    columns.forget(token - 6, token - 5);
    append_written(columns, {token});
    ASSERT_EQ(columns.n_columns(), kCapacity);
    for (int32_t held : {0, 1, token - 5, token - 1, token}) expect_written(columns, held);
    ASSERT_FALSE(columns.has(token - 6));
  }
}

TEST(LayerColumns, UndoGivesReusedSlotsBack) {
  LayerColumns columns = make_columns(2);
  append_written(columns, {0, 1, 2, 3, 4, 5, 6, 7});
  columns.forget(2, 5);
  append_written(columns, {8, 9});
  columns.undo(0);
  EXPECT_EQ(columns.n_columns(), 5U);
  append_written(columns, {8, 9, 10});
  for (int32_t token : {0, 1, 5, 6, 7, 8, 9, 10}) expect_written(columns, token);
}

}  // namespace
}  // namespace lazyfill
