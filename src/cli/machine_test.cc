#include "cli/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace lazyfill::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A folder with what a kernel would say.
class MachineTest : public testing::Test {
 protected:
  MachineTest() : root_(testing::TempDir() + "machine_" + std::to_string(getpid())) {
    write("/proc/cpuinfo",
          "processor\t: 0\nmodel name\t: Some Processor\nprocessor\t: 1\nmodel name\t: Some Processor\n");
    write("/proc/loadavg", "0.25 0.5 0.5 1/100 1234\n");
    write("/proc/meminfo", "MemTotal:       8388608 kB\nMemAvailable:    4194304 kB\n");
  }
  ~MachineTest() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  Machine read() const { return read_machine(root_); }

  const std::string root_;
};

TEST_F(MachineTest, AFreeMachine) {
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  const Machine machine = read();
  EXPECT_EQ(machine.processor, "Some Processor");
  EXPECT_EQ(machine.n_cores, 2U);
  EXPECT_EQ(machine.n_threads(), 2U);
  EXPECT_EQ(machine.memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(machine.free_bytes, uint64_t{4} << 30);
  EXPECT_EQ(machine.huge_pages, "madvise");
  EXPECT_THAT(obstacles(machine), IsEmpty());
}

TEST_F(MachineTest, AContainerThatMayUseHalf) {
  for (const bool is_v2 : {true, false}) {
    if (is_v2) write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    if (!is_v2) {
      std::filesystem::remove(root_ + "/sys/fs/cgroup/cpu.max");
      write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
      write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    }
    const Machine machine = read();
    EXPECT_EQ(machine.cpu_limit, 0.5);
    EXPECT_EQ(machine.n_threads(), 1U);
    EXPECT_THAT(obstacles(machine), ElementsAre(HasSubstr("0.5 of 2 cores")));
  }
}

TEST_F(MachineTest, MemoryThatEndsEarly) {
  write("/sys/fs/cgroup/memory.max", "1073741824\n");
  write("/sys/fs/cgroup/memory.current", "1048576\n");
  const Machine machine = read();
  EXPECT_EQ(machine.limit_bytes, uint64_t{1} << 30);
  EXPECT_LT(machine.free_bytes, uint64_t{1} << 30);
  EXPECT_THAT(obstacles(machine), ElementsAre(HasSubstr("the container's memory ends at")));
  write("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT_THAT(obstacles(read()), IsEmpty());
}

TEST_F(MachineTest, WhatElseCosts) {
  write("/proc/loadavg", "1.5 0.5 0.5 1/100 1234\n");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  EXPECT_THAT(obstacles(read()), ElementsAre(HasSubstr("the last minute was 1.5 on 2 cores"),
                                             HasSubstr("huge pages are off"), HasSubstr("saves power")));
}

TEST_F(MachineTest, NothingIsKnown) {
  std::filesystem::remove_all(root_);
  const Machine machine = read();
  EXPECT_EQ(machine.n_threads(), 1U);
  EXPECT_EQ(machine.free_bytes, 0U);
  EXPECT_THAT(obstacles(machine), IsEmpty());
}

TEST(Bandwidth, IsThatOfAMemory) {
  const double bandwidth = measure_bandwidth(1);
  EXPECT_GT(bandwidth, 1e7);   // slower than any machine
  EXPECT_LT(bandwidth, 1e13);  // faster than any: nothing would have been read
}

}  // namespace
}  // namespace lazyfill::cli
