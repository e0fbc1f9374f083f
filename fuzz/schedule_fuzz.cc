// Parses whatever text libFuzzer thinks of as a schedule, for models of several depths, and as a preset's
// file.
//   build/fuzz/bin/schedule_fuzz -dict=fuzz/schedule.dict -max_len=512 -max_total_time=60 CORPUS
//   fuzz/corpus/schedule
#include <algorithm>
#include <string_view>
#include <vector>

#include "pruning/preset.h"
#include "pruning/schedule.h"

namespace {

struct Depth {
  size_t n_layers = 0;
  std::vector<size_t> prunable;
};

// What the rest of the program relies on.
void check_stages(const std::vector<lazyfill::ScheduleStage>& stages, const std::vector<size_t>& prunable) {
  for (size_t i = 0; i < stages.size(); ++i) {
    const lazyfill::ScheduleStage& stage = stages[i];
    if (std::find(prunable.begin(), prunable.end(), stage.layer) == prunable.end()) __builtin_trap();
    if (i > 0 && stage.layer <= stages[i - 1].layer) __builtin_trap();
    if (!(stage.keep > 0 && stage.keep <= 1)) __builtin_trap();
    if (lazyfill::kept_count(stage, 0) != 0) __builtin_trap();
    for (const size_t n : {size_t{1}, size_t{2}, size_t{1000}, size_t{1} << 40}) {
      const size_t kept = lazyfill::kept_count(stage, n);
      if (kept < 1 || kept > n) __builtin_trap();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const std::vector<Depth> kDepths = {
      {1, {}}, {2, {0}}, {30, {0, 5, 9, 15, 22, 28}}, {80, {11, 23, 35, 47}}};
  for (const Depth& depth : kDepths) {
    const auto stages = lazyfill::parse_schedule(text, depth.n_layers, depth.prunable);
    if (stages) {
      check_stages(*stages, depth.prunable);
    } else if (stages.error().message.empty() || stages.error().message.size() > 2000) {
      __builtin_trap();
    }
  }
  if (text.starts_with('{')) {
    const auto preset = lazyfill::preset_from_json(text, "preset.json");
    if (preset) {
      const auto again = lazyfill::preset_from_json(lazyfill::preset_to_json(*preset), "preset.json");
      if (!again || again->lazy.schedule != preset->lazy.schedule) __builtin_trap();
    } else if (preset.error().message.empty()) {
      __builtin_trap();
    }
  }
  return 0;
}
