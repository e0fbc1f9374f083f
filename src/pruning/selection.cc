#include "pruning/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "pruning/policy.h"
#include "pruning/schedule.h"

namespace lazyfill {

Selection::Selection(const LazyOptions& options, std::span<const ScheduleStage> schedule, int32_t first_new,
                     size_t prompt_end)
    : options_(options),
      policy_(policy_info(options)),
      schedule_(schedule),
      first_new_(first_new),
      prompt_end_(prompt_end) {}

const ScheduleStage* Selection::next_stage() const {
  return stage_ < schedule_.size() ? &schedule_[stage_] : nullptr;
}

bool Selection::votes_at(size_t layer, bool sees_all) const {
  const ScheduleStage* stage = next_stage();
  if (stage == nullptr || (policy_.chooses_once && !is_first_step())) return false;
  if (policy_.voters != Voters::kWords) return layer == stage->layer;
  return sees_all && stage->layer - layer < options_.score_layers;
}

std::vector<size_t> Selection::voters(std::span<const int32_t> rows, std::span<const int32_t> words) const {
  std::vector<size_t> found;
  if (policy_.voters == Voters::kWords) {
    for (int32_t word : words) {
      const auto row = std::lower_bound(rows.begin(), rows.end(), word);
      if (row != rows.end() && *row == word) found.push_back(static_cast<size_t>(row - rows.begin()));
    }
    if (!found.empty()) return found;
  }
  const size_t n_wanted = policy_.voters == Voters::kWindow ? std::max<size_t>(options_.window_rows, 1) : 1;
  const auto n_new = static_cast<size_t>(rows.end() - std::lower_bound(rows.begin(), rows.end(), first_new_));
  found.resize(std::min(n_wanted, n_new));
  std::iota(found.begin(), found.end(), rows.size() - found.size());
  return found;
}

// Weights of a broken file can give NaN, by which nothing can be sorted; the logits are refused later.
std::vector<float> Selection::votes_of(Evidence& evidence) const {
  std::vector<float> votes = policy_.score(options_, evidence);
  for (float& vote : votes) vote = std::isnan(vote) ? 0 : vote;
  return votes;
}

void Selection::vote(Evidence& evidence) {
  const std::vector<float> votes = votes_of(evidence);
  votes_.resize(votes.size());
  for (size_t i = 0; i < votes.size(); ++i) votes_[i] += votes[i];
}

std::vector<uint32_t> Selection::choose(const Ballot& ballot) {
  const ScheduleStage& stage = schedule_[stage_++];
  std::vector<float> votes = std::exchange(votes_, {});
  // A question asks for other things than the one before it, but a token for much of what the last one did.
  if (policy_.remembers)
    ballot.memory->add_to(votes, ballot.positions, is_decode() ? options_.vote_memory : 0.0F);
  ballot.budget->choose(ballot.positions.size());
  Candidates candidates{ballot.positions, votes, ballot.computed_next, is_first_step()};
  if (is_decode()) {
    candidates.max_revived = most_revived(stage, ballot);
    if (needs_attention(options_, false)) candidates.revive_margin = options_.revive_margin.value_or(0);
  }
  return choose_kept(options_, stage, candidates, prompt_end_);
}

std::vector<uint32_t> Selection::choose_columns(const ScheduleStage& stage, Evidence& evidence) const {
  const std::vector<float> votes = votes_of(evidence);
  const std::vector<uint8_t> computed(votes.size(), 1);
  return choose_kept(options_, stage, {evidence.positions, votes, computed, true}, prompt_end_);
}

std::optional<size_t> Selection::most_revived(const ScheduleStage& stage, const Ballot& ballot) const {
  const Revival& revival = options_.revival;
  if (revival.mode == Revival::Mode::kAtMost) return revival.at_most;
  if (revival.mode != Revival::Mode::kAuto) return std::nullopt;
  const size_t n_columns = kept_count(stage, ballot.positions.size());
  return std::min(kMostRevived, ballot.budget->affordable(stage.layer, n_columns, ballot.n_revived_rows));
}

}  // namespace lazyfill
