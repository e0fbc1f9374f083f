#include "cache/layer_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace lazyfill {
namespace {

using testing::ElementsAreArray;

constexpr size_t kHeads = 2;
constexpr size_t kHeadDim = 2;
constexpr size_t kCapacity = 8;

LayerColumns make_columns() {
  return LayerColumns(ColumnType::kF32, kHeads, kHeadDim, kCapacity);
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

TEST(LayerColumns, AppendsInTheOrderOfComputing) {
  LayerColumns columns = make_columns();
  const int32_t first[] = {0, 2, 5};
  const int32_t revived[] = {1, 6};
  EXPECT_EQ(columns.append(first), 0);
  EXPECT_EQ(columns.append(revived), 3);
  EXPECT_EQ(columns.n_columns(), 5U);
  EXPECT_EQ(columns.slot_of(1), 3);
  EXPECT_TRUE(columns.has(5));
  EXPECT_FALSE(columns.has(3));
}

TEST(LayerColumns, ListIsARangeWhereItCanBe) {
  LayerColumns columns = make_columns();
  const int32_t prompt[] = {0, 2, 5};
  const int32_t later[] = {1, 6};
  columns.append(prompt);
  std::vector<int32_t> slots;
  const int32_t tail[] = {2, 5};
  const ColumnList range = columns.list(tail, slots);
  EXPECT_EQ(range.slots, nullptr);
  EXPECT_EQ(range.first, 1);
  EXPECT_EQ(range.n, 2U);

  columns.append(later);
  const int32_t mixed[] = {0, 1, 2, 6};
  const ColumnList scattered = columns.list(mixed, slots);
  ASSERT_NE(scattered.slots, nullptr);
  EXPECT_THAT(std::vector<int32_t>(scattered.slots, scattered.slots + scattered.n),
              ElementsAreArray({0, 3, 1, 4}));
}

TEST(LayerColumns, DropNewestUndoesAppends) {
  LayerColumns columns = make_columns();
  const int32_t prompt[] = {0, 1, 2};
  const int32_t later[] = {5, 4};
  columns.append(prompt);
  columns.append(later);
  columns.drop_newest(3);
  EXPECT_EQ(columns.n_columns(), 3U);
  EXPECT_FALSE(columns.has(5));
  EXPECT_EQ(columns.append(later), 3);
}

TEST(LayerColumns, TruncateMovesRevivedColumnsTogether) {
  LayerColumns columns = make_columns();
  const int32_t order[] = {0, 2, 6, 1, 7, 3};
  columns.append(order);
  for (int32_t position : order) write(columns, position);
  columns.truncate(6);
  EXPECT_EQ(columns.n_columns(), 4U);
  for (int32_t position : {0, 1, 2, 3}) expect_written(columns, position);
  EXPECT_FALSE(columns.has(6));
  EXPECT_FALSE(columns.has(7));
}

TEST(LayerColumns, KeepOnlyMovesTheRestTogether) {
  LayerColumns columns = make_columns();
  const int32_t order[] = {0, 2, 6, 1, 7, 3};
  columns.append(order);
  for (int32_t position : order) write(columns, position);
  const int32_t kept[] = {1, 2, 7};
  columns.keep_only(kept);
  EXPECT_EQ(columns.n_columns(), 3U);
  for (int32_t position : kept) expect_written(columns, position);
  for (int32_t position : {0, 3, 6}) EXPECT_FALSE(columns.has(position));
}

}  // namespace
}  // namespace lazyfill
