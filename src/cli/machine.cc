#include "cli/machine.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <new>
#include <sstream>
#include <thread>

#include "base/free_memory.h"
#include "base/thread_pool.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of "name   : value" what stands behind the colon in the first line of this name.
std::string value_of(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t begin = line.find_first_not_of(": \t", name.size());
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

double number(const std::string& text) {
  std::istringstream in(text);
  double value = 0;
  in >> value;
  return value;
}

// Control groups, version 2 and then 1: microseconds in each period.
double cpu_limit(const std::string& root) {
  std::istringstream both(first_line(root + "/sys/fs/cgroup/cpu.max"));
  double quota = 0;
  double period = 0;
  if (both >> quota >> period && period > 0) return quota / period;  // not where it says "max"
  quota = number(first_line(root + "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  period = number(first_line(root + "/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  return quota > 0 && period > 0 ? quota / period : 0;
}

uint64_t memory_limit(const std::string& root, uint64_t memory_bytes) {
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const double limit = number(first_line(root + path));
    if (limit > 0 && limit < static_cast<double>(memory_bytes)) return static_cast<uint64_t>(limit);
  }
  return 0;
}

// "always [madvise] never"
std::string chosen_word(const std::string& words) {
  const size_t begin = words.find('[');
  const size_t end = words.find(']');
  return begin == std::string::npos || end == std::string::npos ? ""
                                                                : words.substr(begin + 1, end - begin - 1);
}

size_t count_processors(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  size_t n = 0;
  for (std::string line; std::getline(file, line);) n += line.starts_with("processor") ? 1 : 0;
  return n;
}

size_t n_allowed_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::thread::hardware_concurrency();
  return static_cast<size_t>(CPU_COUNT(&set));
}

}  // namespace

size_t Machine::n_threads() const {
  const size_t n = std::max<size_t>(n_usable_cores, 1);
  return cpu_limit > 0 ? std::clamp<size_t>(static_cast<size_t>(std::ceil(cpu_limit)), 1, n) : n;
}

Machine read_machine(const std::string& root) {
  Machine machine;
  machine.processor = value_of(root + "/proc/cpuinfo", "model name");
  machine.n_cores = count_processors(root);
  machine.n_usable_cores = root.empty() ? n_allowed_cores() : machine.n_cores;
  machine.cpu_limit = cpu_limit(root);
  machine.load = number(first_line(root + "/proc/loadavg"));
  machine.memory_bytes = static_cast<uint64_t>(number(value_of(root + "/proc/meminfo", "MemTotal:"))) * 1024;
  machine.free_bytes = free_memory_bytes(root);
  machine.limit_bytes = memory_limit(root, machine.memory_bytes);
  machine.huge_pages = chosen_word(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  machine.governor = first_line(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  return machine;
}

std::vector<std::string> obstacles(const Machine& machine) {
  std::vector<std::string> sentences;
  if (machine.n_usable_cores < machine.n_cores) {
    sentences.push_back("this process may run on " + grouped(machine.n_usable_cores) + " of " +
                        grouped(machine.n_cores) + " cores; taskset, numactl or the container decide that");
  }
  if (machine.cpu_limit > 0 && machine.cpu_limit < static_cast<double>(machine.n_usable_cores)) {
    sentences.push_back("the container may use " + short_number(machine.cpu_limit) + " of " +
                        grouped(machine.n_usable_cores) +
                        " cores at a time: give it more (docker run --cpus), or take --threads " +
                        grouped(machine.n_threads()) + ", for threads that are stopped make the others wait");
  }
  if (machine.load > 0.5 * static_cast<double>(machine.n_cores)) {
    sentences.push_back(
        "the load of the last minute was " + short_number(std::round(machine.load * 10) / 10) + " on " +
        grouped(machine.n_cores) +
        " cores: other programs compute, and what is measured here is slower than this machine can be");
  }
  if (machine.limit_bytes > 0) {
    sentences.push_back("the container's memory ends at " + bytes_text(machine.limit_bytes) + " of " +
                        bytes_text(machine.memory_bytes) + " (docker run --memory)");
  }
  if (machine.huge_pages == "never") {
    sentences.push_back(
        "huge pages are off, so reading weights costs more: as root, "
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  }
  if (machine.governor == "powersave") {
    sentences.push_back(
        "the processor saves power: as root, cpupower frequency-set -g performance, where the driver obeys "
        "it");
  }
  return sentences;
}

double measure_bandwidth(size_t n_threads) {
  constexpr size_t kBytesPerThread = size_t{128} << 20;  // more than a core's share of any cache
  constexpr double kSeconds = 0.4;
  std::vector<uint64_t> memory;
  try {
    memory.assign(n_threads * kBytesPerThread / sizeof(uint64_t), 1);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  ThreadPool pool(n_threads);
  const size_t n_words = memory.size() / pool.n_threads();
  std::atomic<uint64_t> sink{0};  // what is summed must be wanted
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (const Clock::time_point start = Clock::now();
       Clock::now() - start < std::chrono::duration<double>(kSeconds);) {
    const Clock::time_point begin = Clock::now();
    pool.run([&](size_t thread) {
      const uint64_t* words = memory.data() + thread * n_words;
      uint64_t sums[8] = {};
      for (size_t i = 0; i + 8 <= n_words; i += 8)
        for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
      for (const uint64_t sum : sums) sink.fetch_add(sum, std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, static_cast<double>(n_words * pool.n_threads() * sizeof(uint64_t)) / seconds);
  }
  return best;
}

}  // namespace lazyfill::cli
