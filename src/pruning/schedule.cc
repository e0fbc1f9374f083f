#include "pruning/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace lazyfill {
namespace {

constexpr size_t kMaxStages = 256;

std::string quoted(std::string_view text) {
  std::string safe;
  for (char c : text.substr(0, 40)) safe += c >= ' ' && c < 127 ? c : '?';
  return '"' + safe + '"';
}

// The whole text as a number, nothing left over. from_chars: no locale, no surprise at "1e".
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::string list_of(std::span<const size_t> layers) {
  std::string text;
  for (size_t layer : layers) text += (text.empty() ? "" : ", ") + std::to_string(layer);
  return text;
}

size_t nearest(std::span<const size_t> layers, double target) {
  return *std::min_element(layers.begin(), layers.end(), [target](size_t a, size_t b) {
    return std::abs(static_cast<double>(a) - target) < std::abs(static_cast<double>(b) - target);
  });
}

Result<size_t> parse_layer(std::string_view text, size_t n_layers, std::span<const size_t> prunable) {
  if (text.ends_with('%')) {
    const auto percent = parse_number<double>(text.substr(0, text.size() - 1));
    if (!percent || !(*percent >= 0 && *percent < 100)) {
      return fail(ErrorCode::kInvalidArgument,
                  quoted(text) + " in the schedule is no share of the depth; write 50%");
    }
    return nearest(prunable, *percent / 100 * static_cast<double>(n_layers));
  }
  const auto layer = parse_number<size_t>(text);
  if (!layer) {
    return fail(ErrorCode::kInvalidArgument,
                quoted(text) + " in the schedule is no layer; write LAYER:KEEP, such as 15:0.5");
  }
  if (std::find(prunable.begin(), prunable.end(), *layer) == prunable.end()) {
    return fail(ErrorCode::kInvalidArgument,
                "layer " + std::to_string(*layer) +
                    " of this model cannot prune (its scores would see only a window, or "
                    "no layer follows); these can: " +
                    list_of(prunable));
  }
  return *layer;
}

Result<ScheduleStage> parse_keep(std::string_view text, size_t layer) {
  if (text.starts_with('@')) {
    const auto n = parse_number<size_t>(text.substr(1));
    if (!n || *n == 0) {
      return fail(ErrorCode::kInvalidArgument,
                  quoted(text) + " in the schedule is no number of tokens; write @512");
    }
    return ScheduleStage{layer, 1.0, *n};
  }
  if (text.starts_with('p')) {
    const auto mass = parse_number<double>(text.substr(1));
    if (!mass || !(*mass > 0 && *mass <= 1)) {
      return fail(ErrorCode::kInvalidArgument,
                  quoted(text) + " in the schedule is no share of the attention; write p0.9");
    }
    return ScheduleStage{layer, 1.0, 0, *mass};
  }
  const auto keep = parse_number<double>(text);
  if (!keep || !(*keep > 0 && *keep <= 1)) {
    return fail(ErrorCode::kInvalidArgument, quoted(text) +
                                                 " in the schedule is no fraction to keep; it must be above "
                                                 "0 and at most 1, or @TOKENS, or pSHARE");
  }
  return ScheduleStage{layer, *keep, 0};
}

Result<ScheduleStage> parse_stage(std::string_view text, size_t n_layers, std::span<const size_t> prunable) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, quoted(text) +
                                                 " is no schedule; write off, auto (the model's preset), "
                                                 "fast (its preset that loses more), or "
                                                 "LAYER:KEEP[,LAYER:KEEP...], such as 9:0.5,15:0.5");
  }
  auto layer = parse_layer(text.substr(0, colon), n_layers, prunable);
  if (!layer) return tl::unexpected(layer.error());
  return parse_keep(text.substr(colon + 1), *layer);
}

}  // namespace

Result<std::vector<ScheduleStage>> parse_schedule(std::string_view spec, size_t n_layers,
                                                  std::span<const size_t> prunable_layers) {
  std::vector<ScheduleStage> stages;
  if (spec == "off") return stages;
  if (prunable_layers.empty()) {
    return fail(ErrorCode::kInvalidArgument, "this model has no layer that can prune; use the schedule off");
  }
  while (true) {
    const size_t comma = spec.find(',');
    auto stage = parse_stage(spec.substr(0, comma), n_layers, prunable_layers);
    if (!stage) return tl::unexpected(stage.error());
    if (!stages.empty() && stage->layer <= stages.back().layer) {
      return fail(ErrorCode::kInvalidArgument,
                  "layer " + std::to_string(stage->layer) + " follows layer " +
                      std::to_string(stages.back().layer) +
                      " in the schedule; each stage must lie deeper than the one before");
    }
    stages.push_back(*stage);
    if (stages.size() > kMaxStages)
      return fail(ErrorCode::kInvalidArgument, "the schedule has too many stages");
    if (comma == std::string_view::npos) return stages;
    spec.remove_prefix(comma + 1);
  }
}

size_t kept_count(const ScheduleStage& stage, size_t n) {
  if (n == 0) return 0;
  if (stage.keep_tokens > 0) return std::min(stage.keep_tokens, n);
  // A hair less than the product, so that 0.1 * 30, which is 3.0000000000000004 in binary, keeps 3.
  const double target = stage.keep * static_cast<double>(n) * (1 - 1e-12);
  return std::clamp<size_t>(static_cast<size_t>(std::ceil(target)), 1, n);
}

}  // namespace lazyfill
