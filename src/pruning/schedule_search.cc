#include "pruning/schedule_search.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace lazyfill {
namespace {

constexpr double kLeastKeep = 0.02;
constexpr double kMostKeep = 0.98;  // a stage that keeps more is not worth its scores
constexpr size_t kMostStages = 4;
constexpr double kFirstGain = 0.08;  // a candidate must be faster than the best by this share
constexpr double kLastGain = 0.02;   // and in the end by this: less is below what a clock can show
constexpr double kFirstSpeedUp = 2;  // of a quick search
constexpr double kClimb = 0.8;       // its step, of the time

double predicted_ms(const SearchTask& task, std::span<const ScheduleStage> stages, double attention_mass) {
  return task.cost.predict_ms(prefill_work(task.n_tokens, stages, task.layer_windows), attention_mass);
}

std::vector<ScheduleStage> with_power(std::vector<ScheduleStage> stages, double power) {
  for (ScheduleStage& stage : stages) {
    const double keep = std::floor(std::pow(stage.keep, power) * 100 + 1e-9) / 100;
    stage.keep = std::clamp(keep, kLeastKeep, kMostKeep);
  }
  return stages;
}

class Search {
 public:
  Search(const SearchTask& task, const LossTest& is_within_target) : task_(task), test_(is_within_target) {
    result_.dense_ms = predicted_ms(task, {}, 1);
    result_.best.policy = task.policies.front();
    result_.best.predicted_ms = result_.dense_ms;
  }

  Result<SearchResult> run() {
    bool go_on = task_.quick ? begin_quickly() : begin();
    for (double gain = kFirstGain; go_on && gain >= kLastGain; gain /= 2) {
      bool improved = true;
      while (go_on && improved && found_any()) {
        improved = false;
        for (const ScheduleCandidate& neighbour : neighbours(result_.best)) {
          improved = challenge(neighbour, result_.best.predicted_ms * (1 - gain));
          go_on = may_go_on();
          if (improved || !go_on) break;
        }
      }
    }
    if (error_.code != ErrorCode::kCancelled && failed_) return tl::unexpected(error_);
    return result_;
  }

 private:
  bool found_any() const { return result_.best.predicted_ms < result_.dense_ms; }

  // Three stages of a half at thirds of the depth, harder and harder; where that is too much, a single late
  // one; where that is, sparse attention alone.
  bool begin() {
    const size_t n = task_.layers.size();
    ScheduleCandidate thirds{{}, task_.policies.front(), 0};
    for (size_t part : {n / 3, n / 2, n * 3 / 4}) {
      if (thirds.stages.empty() || thirds.stages.back().layer != task_.layers[part])
        thirds.stages.push_back({task_.layers[part], 0.5, 0});
    }
    const ScheduleCandidate late{{{task_.layers[n * 2 / 3], 0.5, 0}}, task_.policies.front(), 0};
    for (const ScheduleCandidate& shape : {thirds, late}) {
      for (double speed_up : {1.3, 1.6, 2.0, 2.5, 3.1, 4.0}) {
        if (!challenge(shape, result_.dense_ms / speed_up)) break;
      }
      if (found_any() || !may_go_on()) return may_go_on();
    }
    for (double mass : task_.attention_masses) {
      if (!challenge({{}, task_.policies.front(), 0, mass}, result_.best.predicted_ms * (1 - kLastGain)) &&
          found_any())
        break;
    }
    return may_go_on();
  }

  // Two early stages under each of the policies, with attention somewhat sparse: what the search came to on
  // every model so far. Where they bear nothing, begin() looks for something softer.
  bool begin_quickly() {
    const auto& masses = task_.attention_masses;
    const double mass = masses.empty() ? 1 : masses[masses.size() / 2];
    for (Policy policy : task_.policies) {
      climb({early_stages(), policy, 0, mass});
      if (!may_go_on()) return false;
    }
    return found_any() || begin();
  }

  // Faster and faster until the target is lost, or slower until it is held, and once more between the two.
  void climb(const ScheduleCandidate& shape) {
    double held =
        found_any() ? result_.best.predicted_ms * (1 - kFirstGain) : result_.dense_ms / kFirstSpeedUp;
    double lost = 0;
    if (challenge(shape, held)) {
      for (lost = held * kClimb; challenge(shape, lost); lost *= kClimb) held = lost;
    } else if (!found_any()) {
      lost = held;
      for (held = lost / kClimb; held < result_.dense_ms && !challenge(shape, held); held /= kClimb)
        lost = held;
    }
    if (found_any() && lost > 0) challenge(shape, std::sqrt(held * lost));
  }

  bool may_go_on() const { return !failed_ && result_.n_measurements < task_.max_measurements; }

  // True when the shape, made as fast as target_ms, holds the target; it is the best then.
  bool challenge(const ScheduleCandidate& shape, double target_ms) {
    if (!may_go_on()) return false;
    auto candidate = scaled_to(task_, shape, target_ms);
    if (!candidate || candidate->predicted_ms >= result_.best.predicted_ms) return false;
    const std::string key = std::to_string(static_cast<int>(candidate->policy)) + ' ' +
                            std::to_string(candidate->attention_mass) + ' ' +
                            format_schedule(candidate->stages);
    if (!tried_.insert(key).second) return false;
    auto within = test_(*candidate);
    if (!within) {
      failed_ = true;
      error_ = within.error();
      return false;
    }
    ++result_.n_measurements;
    if (*within) result_.best = std::move(*candidate);
    return *within;
  }

  // The same shape first: it may bear more. Then one thing changed at a time.
  std::vector<ScheduleCandidate> neighbours(const ScheduleCandidate& of) const {
    std::vector<ScheduleCandidate> found = {of};
    add_masses(of, found);
    if (!of.stages.empty()) {
      found.push_back(of);
      found.back().stages = early_stages();
    }
    for (Policy policy : task_.policies) {
      if (policy == of.policy || of.stages.empty()) continue;
      found.push_back(of);
      found.back().policy = policy;
    }
    add_moves(of, found);
    for (size_t i = 0; i < of.stages.size(); ++i) {
      for (double power : {1.6, 0.6}) {  // this stage harder or softer than the others
        found.push_back(of);
        found.back().stages[i].keep = std::pow(of.stages[i].keep, power);
      }
    }
    const size_t fewest = of.attention_mass < 1 ? 0 : 1;
    for (size_t i = 0; of.stages.size() > fewest && i < of.stages.size(); ++i) {
      found.push_back(of);
      found.back().stages.erase(found.back().stages.begin() + static_cast<ptrdiff_t>(i));
    }
    add_insertions(of, found);
    return found;
  }

  // Two stages early: with votes that are good there already, better than three, and too far from them for
  // the moves below.
  std::vector<ScheduleStage> early_stages() const {
    const size_t n = task_.layers.size();
    std::vector<ScheduleStage> stages = {{task_.layers[n * 2 / 7], 0.5, 0}};
    if (n / 2 > n * 2 / 7) stages.push_back({task_.layers[n / 2], 0.5, 0});
    return stages;
  }

  // One and two steps sparser and denser: the schedule becomes softer or harder for it.
  void add_masses(const ScheduleCandidate& of, std::vector<ScheduleCandidate>& found) const {
    std::vector<double> ladder = {1};
    ladder.insert(ladder.end(), task_.attention_masses.begin(), task_.attention_masses.end());
    const auto at = std::find(ladder.begin(), ladder.end(), of.attention_mass) - ladder.begin();
    const auto n = static_cast<ptrdiff_t>(ladder.size());
    for (ptrdiff_t step : {1, -1, 2, -2}) {
      if (at + step < 0 || at + step >= n) continue;
      found.push_back(of);
      found.back().attention_mass = ladder[static_cast<size_t>(at + step)];
    }
  }

  size_t index_of(size_t layer) const {
    return static_cast<size_t>(std::lower_bound(task_.layers.begin(), task_.layers.end(), layer) -
                               task_.layers.begin());
  }

  // Indices into layers between which stage i may lie, both excluded, shifted by one to stay unsigned.
  size_t floor_of(const ScheduleCandidate& of, size_t i) const {
    return i == 0 ? 0 : index_of(of.stages[i - 1].layer) + 1;
  }
  size_t ceiling_of(const ScheduleCandidate& of, size_t i) const {
    return i == of.stages.size() || i + 1 == of.stages.size() ? task_.layers.size()
                                                              : index_of(of.stages[i + 1].layer);
  }

  void add_moves(const ScheduleCandidate& of, std::vector<ScheduleCandidate>& found) const {
    const size_t stride = std::max<size_t>(task_.layers.size() / 10, 1);
    const std::set<size_t> distances = {1, stride};
    for (size_t i = 0; i < of.stages.size(); ++i) {
      const size_t at = index_of(of.stages[i].layer);
      for (size_t distance : distances) {
        for (size_t to : {at + distance, at - std::min(at, distance)}) {
          if (to == at || to < floor_of(of, i) || to >= ceiling_of(of, i)) continue;
          found.push_back(of);
          found.back().stages[i].layer = task_.layers[to];
        }
      }
    }
  }

  void add_insertions(const ScheduleCandidate& of, std::vector<ScheduleCandidate>& found) const {
    if (of.stages.size() >= kMostStages) return;
    for (size_t i = 0; i <= of.stages.size(); ++i) {
      const size_t first = floor_of(of, i);
      const size_t end = i == of.stages.size() ? task_.layers.size() : index_of(of.stages[i].layer);
      if (first >= end) continue;
      found.push_back(of);
      found.back().stages.insert(found.back().stages.begin() + static_cast<ptrdiff_t>(i),
                                 {task_.layers[(first + end) / 2], 0.6, 0});
    }
  }

  const SearchTask& task_;
  const LossTest& test_;
  SearchResult result_;
  std::set<std::string> tried_;
  bool failed_ = false;
  Error error_;
};

}  // namespace

std::string format_schedule(std::span<const ScheduleStage> stages) {
  if (stages.empty()) return "off";
  std::string text;
  for (const ScheduleStage& stage : stages) {
    if (!text.empty()) text += ',';
    text += std::to_string(stage.layer);
    const bool by_mass = stage.keep_mass > 0;
    text += stage.keep_tokens > 0 ? ":@" : by_mass ? ":p" : ":";
    std::string keep = stage.keep_tokens > 0 ? std::to_string(stage.keep_tokens)
                                             : std::to_string(by_mass ? stage.keep_mass : stage.keep);
    if (stage.keep_tokens == 0) {
      keep.erase(keep.find_last_not_of('0') + 1);
      if (keep.ends_with('.')) keep.pop_back();
    }
    text += keep;
  }
  return text;
}

std::optional<ScheduleCandidate> scaled_to(const SearchTask& task, ScheduleCandidate candidate,
                                           double target_ms) {
  const auto ms_with = [&](double power) {
    return predicted_ms(task, with_power(candidate.stages, power), candidate.attention_mass);
  };
  // More power, fewer tokens, less time.
  double soft = 0;
  double hard = 64;
  if (ms_with(hard) > target_ms) return std::nullopt;
  for (int i = 0; i < 40; ++i) {
    const double middle = (soft + hard) / 2;
    (ms_with(middle) > target_ms ? soft : hard) = middle;
  }
  candidate.stages = with_power(std::move(candidate.stages), hard);
  candidate.predicted_ms = predicted_ms(task, candidate.stages, candidate.attention_mass);
  return candidate;
}

Result<SearchResult> search_schedule(const SearchTask& task, const LossTest& is_within_target) {
  if (task.layers.empty() || task.policies.empty())
    return fail(ErrorCode::kInvalidArgument, "this model has no layer that can prune; use the schedule off");
  return Search(task, is_within_target).run();
}

}  // namespace lazyfill
