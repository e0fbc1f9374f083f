// What this machine can do at most: the yardsticks of the kernel benchmarks, measured in the same run.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/kernels.h"

namespace lazyfill::bench {

// fp32 multiply-adds in registers at the vector width of the instruction set, in GFLOP/s of one core. The
// best of several short runs.
double peak_gflops(const Kernels& kernels);

// Products of bf16 tiles of AMX, in GFLOP/s of one core; call it only where the machine supports "amx". Tiles
// of bytes have twice as many.
double peak_tile_gflops();

// Adds all bytes up, as fast as they can be read; for measuring read bandwidth.
float sum_of(std::span<const float> values, const Kernels& kernels);

}  // namespace lazyfill::bench
