#include "base/free_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lazyfill {
namespace {

class FreeMemory : public testing::Test {
 protected:
  FreeMemory()
      : root_(testing::TempDir() + "free_memory_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
  }
  ~FreeMemory() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

constexpr char kMeminfo[] =
    "MemTotal:  8000 kB\nMemFree:   1000 kB\nMemAvailable:   5000 kB\nBuffers: 7 kB\n";

TEST_F(FreeMemory, IsWhatTheSystemCallsAvailable) {
  write("/proc/meminfo", kMeminfo);
  EXPECT_EQ(free_memory_bytes(root_), 5000U * 1024);
}

TEST_F(FreeMemory, IsWhatAContainerHasLeft) {
  write("/proc/meminfo", kMeminfo);
  write("/sys/fs/cgroup/memory.max", "3000000\n");
  write("/sys/fs/cgroup/memory.current", "1000000\n");
  EXPECT_EQ(free_memory_bytes(root_), 2000000U);
}

TEST_F(FreeMemory, AContainerWithoutALimit) {
  write("/proc/meminfo", kMeminfo);
  write("/sys/fs/cgroup/memory.max", "max\n");
  write("/sys/fs/cgroup/memory.current", "1000000\n");
  EXPECT_EQ(free_memory_bytes(root_), 5000U * 1024);
}

TEST_F(FreeMemory, OlderContainers) {
  write("/proc/meminfo", kMeminfo);
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "10000\n");
  EXPECT_EQ(free_memory_bytes(root_), 0U);
}

TEST_F(FreeMemory, NothingIsKnown) {
  EXPECT_EQ(free_memory_bytes(root_), 0U);
}

TEST(FreeMemoryOfThisMachine, IsSome) {
  EXPECT_GT(free_memory_bytes(), 1U << 20);
}

}  // namespace
}  // namespace lazyfill
