// What a machine has, as /proc and /sys tell it, and what of it is in the way of a model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lazyfill::cli {

struct Machine {
  std::string processor;
  size_t n_cores = 0;         // that the system has
  size_t n_usable_cores = 0;  // that this process may run on
  double cpu_limit = 0;       // cores that the container may use at a time; 0: no limit
  double load = 0;            // of the last minute: threads that computed or wanted to
  uint64_t memory_bytes = 0;  // that the system has
  uint64_t free_bytes = 0;    // that this process may still use; 0: unknown
  uint64_t limit_bytes = 0;   // of the container; 0: none
  std::string huge_pages;     // "always", "madvise", "never"; empty: unknown
  std::string governor;       // "powersave", ...; empty: unknown

  // Threads that find a core each.
  size_t n_threads() const;
};

// root: where /proc and /sys are, for tests.
Machine read_machine(const std::string& root = "");

// A sentence for each thing that costs speed, with what to do about it.
std::vector<std::string> obstacles(const Machine& machine);

// Bytes a second that so many threads read from memory together, measured for a few tenths of a second. 0:
// not enough memory to measure.
double measure_bandwidth(size_t n_threads);

}  // namespace lazyfill::cli
