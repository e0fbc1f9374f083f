#include "base/free_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

namespace lazyfill {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::optional<uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;  // also where it says "max"
  return value;
}

// "MemAvailable:    1234 kB"
uint64_t available_of_system(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  std::string name;
  for (uint64_t kib = 0; file >> name; file.ignore(kUnlimited >> 1, '\n')) {
    if (name == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return kUnlimited;
}

// Control groups, version 2 and then 1, as a container sees its own.
uint64_t left_of_limit(const std::string& root) {
  struct Files {
    const char* limit;
    const char* used;
  };
  for (const Files& files : {Files{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
                             Files{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                   "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const auto limit = read_number(root + files.limit);
    const auto used = read_number(root + files.used);
    if (limit && used) return *limit - std::min(*limit, *used);
  }
  return kUnlimited;
}

}  // namespace

uint64_t free_memory_bytes(const std::string& root) {
  const uint64_t bytes = std::min(available_of_system(root), left_of_limit(root));
  return bytes == kUnlimited ? 0 : bytes;
}

}  // namespace lazyfill
