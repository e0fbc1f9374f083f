#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

namespace lazyfill {
namespace {

TEST(Buffer, StartsAtZeroAndAligned) {
  Buffer<float> buffer(1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
  for (size_t i = 0; i < buffer.size(); ++i) ASSERT_EQ(buffer[i], 0.0F);
}

TEST(Buffer, EnsureGrowsAndNeverShrinks) {
  Buffer<int> buffer(10);
  buffer.ensure(100);
  EXPECT_EQ(buffer.size(), 100U);
  buffer.ensure(5);
  EXPECT_EQ(buffer.size(), 100U);
}

TEST(Buffer, MovesWithoutCopying) {
  Buffer<int> a(16);
  a[3] = 7;
  const int* data = a.data();
  Buffer<int> b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(b[3], 7);
}

TEST(Buffer, ThrowsWhenTheAddressSpaceIsTooSmall) {
  EXPECT_THROW(Buffer<char>(size_t{1} << 62), std::bad_alloc);
}

}  // namespace
}  // namespace lazyfill
