// Attention as shares of what the machine can do at most, measured in the same run: prefill (a block of rows)
// of the fp32 multiply-add peak at the same vector width, decode (one row) of the read bandwidth; one core.
//
//   attention_bench [--benchmark_filter=REGEX] [--benchmark_min_time=SECONDS] ...
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "machine_peak.h"

namespace lazyfill::bench {
namespace {

// Processor time of this thread: what one core does, whoever else wants it.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <class Fn>
double best_seconds(benchmark::State& state, Fn&& fn) {
  double best_s = 1e9;
  for (auto _ : state) {
    const double begin = thread_seconds();
    fn();
    benchmark::ClobberMemory();
    best_s = std::min(best_s, thread_seconds() - begin);
  }
  return best_s;
}

std::vector<float> bell_shaped(size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = normal(random);
  return x;
}

struct Heads {
  size_t n_heads;
  size_t n_kv_heads;
  size_t head_dim;
};

// The last n_rows rows of a prompt of n_columns tokens, over columns as the table stores them.
class Block {
 public:
  Block(const Kernels& kernels, Heads heads, size_t n_rows, size_t n_columns)
      : q_(bell_shaped(n_rows * heads.n_heads * heads.head_dim)), ranges_(n_rows), out_(q_.size()) {
    const size_t n = n_columns * heads.n_kv_heads * heads.head_dim;
    const size_t element_bytes = kernels.column_type == ColumnType::kF16 ? 2 : 4;
    keys_.ensure(n * element_bytes);
    values_.ensure(n * element_bytes);
    const std::vector<float> x = bell_shaped(n);
    for (std::byte* half : {keys_.data(), values_.data()}) {
      kernels.store_columns(kernels.column_type, x.data(), n_columns, heads.n_kv_heads, heads.head_dim,
                            n_columns, 0, half);
    }
    task_.shape = {heads.n_heads, heads.n_kv_heads, heads.head_dim,
                   1.0F / std::sqrt(static_cast<float>(heads.head_dim)), 0};
    task_.columns = {kernels.column_type, keys_.data(), values_.data(), n_columns};
    task_.list = {nullptr, 0, n_columns};
    for (size_t row = 0; row < n_rows; ++row) {
      ranges_[row] = {0, static_cast<uint32_t>(n_columns - n_rows + 1 + row)};
      n_visible_ += ranges_[row].end;
    }
    task_.q = q_.data();
    task_.ranges = ranges_.data();
    task_.n_rows = n_rows;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Leaves out every n-th column, as a pruning layer does: the others are a list.
  void leave_out_every(size_t n) {
    for (size_t slot = 0; slot < task_.list.n; ++slot) {
      if (slot % n != 0) slots_.push_back(static_cast<int32_t>(slot));
    }
    kept_share_ = static_cast<double>(slots_.size()) / static_cast<double>(task_.list.n);
    task_.list = {slots_.data(), 0, slots_.size()};
    for (ColumnRange& range : ranges_) range.end = std::min(range.end, static_cast<uint32_t>(slots_.size()));
  }

  const AttentionTask& task() const { return task_; }
  float* out() { return out_.data(); }
  double flop() const {
    return 4.0 * static_cast<double>(n_visible_ * task_.shape.n_heads * task_.shape.head_dim);
  }
  double bytes() const {
    return kept_share_ * static_cast<double>(keys_.size_bytes() + values_.size_bytes());
  }

 private:
  std::vector<float> q_;
  std::vector<ColumnRange> ranges_;
  std::vector<float> out_;
  Buffer<std::byte> keys_;
  Buffer<std::byte> values_;
  std::vector<int32_t> slots_;
  double kept_share_ = 1;
  AttentionTask task_;
  size_t n_visible_ = 0;
};

void run_prefill(benchmark::State& state, const Kernels& kernels, double peak, Heads heads, size_t n_rows,
                 size_t n_columns) {
  Block block(kernels, heads, n_rows, n_columns);
  AttentionScratch scratch(1);
  const double s = best_seconds(state, [&] {
    attention(kernels, block.task(), form_of_rows(block.task().n_rows), block.out(), Team::alone(), scratch);
  });
  state.counters["GFLOPs"] = block.flop() / s / 1e9;
  state.counters["peak_share"] = block.flop() / s / 1e9 / peak;
}

// Several sequences in turn, so that no column is in a cache when its turn comes. leave_out_every: 0 for
// none.
void run_decode(benchmark::State& state, const Kernels& kernels, double gbytes_peak, Heads heads,
                size_t n_columns, size_t leave_out_every) {
  std::vector<std::unique_ptr<Block>> blocks;
  double n_bytes = 0;
  while (n_bytes < 128e6) {
    blocks.push_back(std::make_unique<Block>(kernels, heads, 1, n_columns));
    if (leave_out_every > 0) blocks.back()->leave_out_every(leave_out_every);
    n_bytes += blocks.back()->bytes();
  }
  AttentionScratch scratch(1);
  const double s = best_seconds(state, [&] {
    for (auto& block : blocks)
      attention(kernels, block->task(), form_of_rows(block->task().n_rows), block->out(), Team::alone(),
                scratch);
  });
  state.counters["GBs"] = n_bytes / s / 1e9;
  state.counters["bandwidth_share"] = n_bytes / s / 1e9 / gbytes_peak;
}

// As a share of one layer's attention over a prompt of that length: what the score of a pruning layer adds.
void run_probs(benchmark::State& state, const Kernels& kernels, Heads heads, size_t n_columns) {
  Block block(kernels, heads, 1, n_columns);
  AttentionScratch scratch(1);
  std::vector<float> probs(n_columns);
  const double s = best_seconds(
      state, [&] { mean_attention_probs(kernels, block.task(), probs.data(), Team::alone(), scratch); });
  state.counters["us"] = s * 1e6;
}

void run_elementwise(benchmark::State& state, const Kernels& kernels, const std::string& which) {
  constexpr size_t kRows = 64, kWidth = 1536;
  std::vector<float> x = bell_shaped(kRows * kWidth);
  const std::vector<float> y = bell_shaped(x.size());
  const RopeShape rope{kWidth / 64, 64, 64, which == "rope_neox"};
  const double s = best_seconds(state, [&] {
    if (which == "rms_norm") kernels.rms_norm(x.data(), y.data(), 1e-5F, kRows, kWidth, x.data());
    if (which == "silu") kernels.gated(Activation::kSilu, x.data(), y.data(), x.size());
    if (which == "gelu") kernels.gated(Activation::kGelu, x.data(), y.data(), x.size());
    if (which == "rope" || which == "rope_neox") kernels.rope(rope, x.data(), y.data(), kRows);
  });
  state.counters["Gelements"] = static_cast<double>(x.size()) / s / 1e9;
}

double read_gbytes(const Kernels& kernels) {
  const std::vector<float> memory(64U << 20U, 1.0F);  // 256 MB: beyond every cache
  double best_s = 1e9;
  for (int repeat = 0; repeat < 6; ++repeat) {
    const double begin = thread_seconds();
    benchmark::DoNotOptimize(sum_of(memory, kernels));
    best_s = std::min(best_s, thread_seconds() - begin);
  }
  return static_cast<double>(memory.size() * sizeof(float)) / best_s / 1e9;
}

void add_benchmarks(const Kernels& kernels, double peak, double gbytes_peak) {
  const std::string isa(kernels.name);
  const auto add = [](const std::string& name, auto&& fn) { benchmark::RegisterBenchmark(name.c_str(), fn); };
  for (const Heads heads : {Heads{9, 3, 64}, Heads{4, 1, 256}}) {
    const std::string name = isa + "/" + std::to_string(heads.n_heads) + "x" + std::to_string(heads.head_dim);
    for (const size_t n : {1024, 4096, 8192}) {
      const std::string columns = "/columns:" + std::to_string(n);
      for (const size_t rows : {size_t{64}, size_t{128}}) {
        add("prefill/" + name + "/rows:" + std::to_string(rows) + columns,
            [=, &kernels](benchmark::State& state) { run_prefill(state, kernels, peak, heads, rows, n); });
      }
      add("decode/" + name + columns,
          [=, &kernels](benchmark::State& state) { run_decode(state, kernels, gbytes_peak, heads, n, 0); });
      add("decode_pruned/" + name + columns,
          [=, &kernels](benchmark::State& state) { run_decode(state, kernels, gbytes_peak, heads, n, 8); });
      add("probs/" + name + columns,
          [=, &kernels](benchmark::State& state) { run_probs(state, kernels, heads, n); });
    }
  }
  for (const std::string which : {"rms_norm", "silu", "gelu", "rope", "rope_neox"}) {
    add(which + "/" + isa,
        [=, &kernels](benchmark::State& state) { run_elementwise(state, kernels, which); });
  }
}

int run(int argc, char** argv) {
  for (const InstructionSet& set : instruction_sets()) {
    const auto kernels = kernels_for(set.name);
    if (!kernels || set.name == "reference") continue;
    const double peak = peak_gflops(**kernels);
    const double gbytes = read_gbytes(**kernels);
    const std::string name((*kernels)->name);
    benchmark::AddCustomContext(name + " fp32 peak of a core, GFLOP/s", std::to_string(peak));
    benchmark::AddCustomContext(name + " read bandwidth of a core, GB/s", std::to_string(gbytes));
    add_benchmarks(**kernels, peak, gbytes);
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
