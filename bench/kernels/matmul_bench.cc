// Matrix products as shares of what the machine can do at most, measured in the same run: prefill (hundreds
// of rows) of the fp32 multiply-add peak at the same vector width, decode (one row) of the read bandwidth.
// Prefill with activations of 8 and of 16 bits: the last part of the name.
//
//   matmul_bench [--benchmark_filter=REGEX] [--benchmark_min_time=SECONDS] ...
//
// The best repetition counts: run with --benchmark_repetitions=5 --benchmark_report_aggregates_only=false on
// a busy machine.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"
#include "kernels/test_weights.h"
#include "machine_peak.h"

namespace lazyfill::bench {
namespace {

using gguf::TensorType;

struct Shape {
  size_t n_out;
  size_t n_in;
};

// Peaks of one core and all cores, measured once for each instruction set.
struct Peaks {
  double gflops = 0;      // one core
  double tiles = 0;       // the same of bf16 tiles; 0 without
  double gbytes_one = 0;  // read bandwidth, one core
  double gbytes_all = 0;  // and all
  double huge_one = 0;    // the same in pages of 2 MiB, in which weights and columns lie
  double huge_all = 0;
};

// Processor time of this thread: what one core does, whoever else wants it.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double best_bandwidth(const Kernels& kernels, const Buffer<float>& memory, Team team) {
  double best_s = 1e9;
  const size_t n_parts = team.n_threads();
  const size_t part = memory.size() / n_parts;
  for (int repeat = 0; repeat < 8; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    team.for_each(n_parts, [&](size_t task, size_t) {
      benchmark::DoNotOptimize(sum_of({memory.data() + task * part, part}, kernels));
    });
    best_s =
        std::min(best_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return static_cast<double>(memory.size_bytes()) / best_s / 1e9;
}

Peaks measure(const Kernels& kernels, ThreadPool& pool) {
  Peaks peaks;
  peaks.gflops = peak_gflops(kernels);
  if (kernels.name == "amx") peaks.tiles = peak_tile_gflops();
  for (const bool huge : {false, true}) {
    Buffer<float> memory(64U << 20U);  // 256 MB: beyond every cache
    if (huge) memory.use_huge_pages();
    std::fill_n(memory.data(), memory.size(), 1.0F);
    (huge ? peaks.huge_one : peaks.gbytes_one) = best_bandwidth(kernels, memory, Team::alone());
    (huge ? peaks.huge_all : peaks.gbytes_all) = best_bandwidth(kernels, memory, Team::all(pool));
  }
  return peaks;
}

std::vector<float> random_rows(size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = normal(random);
  return x;
}

void run_prefill(benchmark::State& state, const Kernels& kernels, const Peaks& peaks, TensorType type,
                 Shape shape, size_t n_rows, const Precision& precision) {
  std::mt19937 random(1);
  const TestWeights weights(type, shape.n_out, shape.n_in, random);
  const auto packed = pack_matrix(kernels, weights.raw(), Team::alone());
  const std::vector<float> x = random_rows(n_rows * shape.n_in);
  PackedRows rows;
  kernels.pack_rows(x.data(), n_rows, shape.n_in, packed->row_format, precision, rows);
  std::vector<float> out(n_rows * shape.n_out);
  double best_s = 1e9;
  for (auto _ : state) {
    const double begin = thread_seconds();
    matmul(kernels, *packed, rows, out.data(), shape.n_out, false, Team::alone());
    benchmark::ClobberMemory();
    best_s = std::min(best_s, thread_seconds() - begin);
  }
  const double gflops = 2.0 * static_cast<double>(n_rows * shape.n_out * shape.n_in) / best_s / 1e9;
  state.counters["GFLOPs"] = gflops;
  state.counters["peak_share"] = gflops / peaks.gflops;
  if (peaks.tiles > 0) state.counters["tile_share"] = gflops / peaks.tiles;
}

// Few rows against so many matrices that none is in a cache when its turn comes.
void run_decode(benchmark::State& state, const Kernels& kernels, double peak_gbytes, TensorType type,
                Shape shape, size_t n_rows, Team team) {
  std::mt19937 random(1);
  const TestWeights weights(type, shape.n_out, shape.n_in, random);
  std::vector<PackedMatrix> matrices;
  size_t n_bytes = 0;
  while (n_bytes < (160U << 20U)) {
    matrices.push_back(*pack_matrix(kernels, weights.raw(), Team::alone()));
    n_bytes += matrices.back().bytes.size_bytes();
  }
  const std::vector<float> x = random_rows(n_rows * shape.n_in);
  PackedRows rows;
  kernels.pack_rows(x.data(), n_rows, shape.n_in, matrices[0].row_format, {}, rows);
  std::vector<float> out(n_rows * shape.n_out);
  double best_s = 1e9;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    for (const PackedMatrix& w : matrices) matmul(kernels, w, rows, out.data(), shape.n_out, false, team);
    benchmark::ClobberMemory();
    best_s =
        std::min(best_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  const double gbytes = static_cast<double>(n_bytes) / best_s / 1e9;
  state.counters["GBs"] = gbytes;
  state.counters["bandwidth_share"] = gbytes / peak_gbytes;
}

void run_pack(benchmark::State& state, const Kernels& kernels, TensorType type, Shape shape) {
  std::mt19937 random(1);
  const TestWeights weights(type, shape.n_out, shape.n_in, random);
  auto packed = kernels.begin_pack(weights.raw());
  for (auto _ : state) kernels.pack_outputs(weights.raw(), *packed, 0);
  const auto traits = *gguf::traits_of(type);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * shape.n_out *
                                               (shape.n_in / traits.block_elements) * traits.block_bytes));
}

void run_pack_rows(benchmark::State& state, const Kernels& kernels, size_t n_rows, size_t n_in) {
  const std::vector<float> x = random_rows(n_rows * n_in);
  PackedRows rows;
  for (auto _ : state) kernels.pack_rows(x.data(), n_rows, n_in, RowFormat::kQ8, {}, rows);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * n_rows * n_in));
}

constexpr std::array kTypes = {TensorType::kQ4_1, TensorType::kQ4_0, TensorType::kQ5_0, TensorType::kQ8_0,
                               TensorType::kQ4_K, TensorType::kQ6_K, TensorType::kF16};

void add_benchmarks(const Kernels& kernels, const Peaks& peaks, ThreadPool& pool) {
  const std::string isa(kernels.name);
  for (const TensorType type : kTypes) {
    const std::string name(gguf::traits_of(type)->name);
    for (const Shape shape : {Shape{1536, 576}, Shape{576, 1536}, Shape{2048, 2048}}) {
      if (shape.n_in % gguf::traits_of(type)->block_elements != 0) continue;
      const std::string size = "/" + std::to_string(shape.n_out) + "x" + std::to_string(shape.n_in);
      for (const size_t n_rows : {size_t{8}, size_t{32}, size_t{96}, size_t{256}, size_t{504}}) {
        const std::pair<const char*, Precision> kinds[] = {
            {"/8", {}}, {"/16", {.n_plain = 0}}, {"/prompt", {.n_plain = 0, .of_prompt = true}}};
        for (const auto& entry : std::span(kinds).first(peaks.tiles > 0 ? 3 : 2)) {
          const std::string kind = entry.first;
          const Precision precision = entry.second;
          benchmark::RegisterBenchmark(
              ("prefill/" + isa + "/" + name + size + "/rows:" + std::to_string(n_rows) + kind).c_str(),
              [=, &kernels](benchmark::State& state) {
                run_prefill(state, kernels, peaks, type, shape, n_rows, precision);
              });
        }
      }
    }
    const Shape shape{2048, 2048};
    for (const size_t n_rows : {size_t{1}, size_t{2}, size_t{3}, size_t{4}, size_t{8}}) {
      const std::string rows = "/rows:" + std::to_string(n_rows);
      benchmark::RegisterBenchmark(
          ("decode/" + isa + "/" + name + rows + "/one").c_str(), [=, &kernels](benchmark::State& state) {
            run_decode(state, kernels, peaks.gbytes_one, type, shape, n_rows, Team::alone());
          });
      benchmark::RegisterBenchmark(("decode/" + isa + "/" + name + rows + "/all").c_str(),
                                   [=, &kernels, &pool](benchmark::State& state) {
                                     run_decode(state, kernels, peaks.gbytes_all, type, shape, n_rows,
                                                Team::all(pool));
                                   });
    }
    benchmark::RegisterBenchmark(("pack/" + isa + "/" + name).c_str(),
                                 [=, &kernels](benchmark::State& state) {
                                   run_pack(state, kernels, type, {1024, 2048});
                                 });
  }
  benchmark::RegisterBenchmark(("rows/" + isa + "/576").c_str(), [&kernels](benchmark::State& state) {
    run_pack_rows(state, kernels, 504, 576);
  });
}

int run(int argc, char** argv) {
  ThreadPool pool;
  for (const InstructionSet& set : instruction_sets()) {
    const auto kernels = kernels_for(set.name);
    if (!kernels || set.name == "reference") continue;
    const Peaks peaks = measure(**kernels, pool);
    const std::string name((*kernels)->name);
    benchmark::AddCustomContext(name + " fp32 peak of a core, GFLOP/s", std::to_string(peaks.gflops));
    if (peaks.tiles > 0)
      benchmark::AddCustomContext(name + " bf16 tile peak of a core, GFLOP/s", std::to_string(peaks.tiles));
    benchmark::AddCustomContext(name + " read bandwidth of one core and of all, GB/s",
                                std::to_string(peaks.gbytes_one) + ", " + std::to_string(peaks.gbytes_all));
    benchmark::AddCustomContext(name + " read bandwidth in huge pages of one core and of all, GB/s",
                                std::to_string(peaks.huge_one) + ", " + std::to_string(peaks.huge_all));
    add_benchmarks(**kernels, peaks, pool);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace lazyfill::bench

int main(int argc, char** argv) {
  return lazyfill::bench::run(argc, argv);
}
