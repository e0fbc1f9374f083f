#include "base/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

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

TEST(Buffer, InHugePagesIsZeroAndAlignedAndItsOwn) {
  std::vector<Buffer<char>> buffers;
  for (size_t n : {1, 63, 64, 65, 1 << 20, 3 << 20, 100 << 20, 7}) {
    buffers.push_back(Buffer<char>::in_huge_pages(n));
    Buffer<char>& buffer = buffers.back();
    ASSERT_EQ(buffer.size(), n);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
    ASSERT_EQ(std::count(buffer.data(), buffer.data() + n, 0), static_cast<ptrdiff_t>(n));
    std::fill_n(buffer.data(), n, static_cast<char>(buffers.size()));
  }
  buffers.erase(buffers.begin() + 2);  // what lies beside it stays
  for (size_t i = 0; i < buffers.size(); ++i) {
    const char written = static_cast<char>(i < 2 ? i + 1 : i + 2);
    const Buffer<char>& buffer = buffers[i];
    ASSERT_EQ(std::count(buffer.data(), buffer.data() + buffer.size(), written),
              static_cast<ptrdiff_t>(buffer.size()));
  }
}

TEST(Buffer, InHugePagesIsZeroAgainAfterAllBuffersLeft) {
  for (int round = 0; round < 3; ++round) {
    Buffer<char> buffer = Buffer<char>::in_huge_pages(1000);
    ASSERT_EQ(std::count(buffer.data(), buffer.data() + 1000, 0), 1000);
    std::fill_n(buffer.data(), 1000, 'x');
    const Buffer<char> moved = std::move(buffer);
    ASSERT_EQ(moved[999], 'x');
  }
}

TEST(Buffer, InHugePagesIsForAnyThread) {
  std::vector<std::thread> threads;
  std::atomic<int> damaged = 0;
  for (char name : {'a', 'b', 'c'}) {
    threads.emplace_back([name, &damaged] {
      for (size_t n = 1; n < 2000; n += 13) {
        Buffer<char> buffer = Buffer<char>::in_huge_pages(n);
        std::fill_n(buffer.data(), n, name);
        std::this_thread::yield();
        damaged += std::count(buffer.data(), buffer.data() + n, name) != static_cast<ptrdiff_t>(n);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(damaged, 0);
}

TEST(Buffer, ThrowsWhenTheAddressSpaceIsTooSmall) {
  EXPECT_THROW(Buffer<char>(size_t{1} << 62), std::bad_alloc);
  EXPECT_THROW(Buffer<char>::in_huge_pages(size_t{1} << 62), std::bad_alloc);
  EXPECT_THROW(Buffer<char>::in_huge_pages(SIZE_MAX), std::bad_alloc);
}

}  // namespace
}  // namespace lazyfill
