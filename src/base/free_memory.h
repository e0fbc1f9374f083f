// How much memory this process may still use.
#pragma once

#include <cstdint>
#include <string>

namespace lazyfill {

// What the system calls available, or what is left of the container's limit where that is less; 0: unknown.
// `root`: where /proc and /sys are, for tests.
uint64_t free_memory_bytes(const std::string& root = "");

}  // namespace lazyfill
