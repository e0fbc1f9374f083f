// The pruning policies, one row of a table each: all that --policy, presets, records and the engine know of
// them. A new one is a name in `enum class Policy` (types.h) and a row in src/pruning/policies.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

// What a policy may look at: the n tokens that entered a layer, in ascending order of position. What a
// function gives is computed when it is first asked for, and lives as long as the evidence; this class knows
// the positions alone.
class Evidence {
 public:
  virtual ~Evidence() = default;
  // [n] attention probability that the voting rows give each token, mean over them and over the query heads.
  virtual std::span<const float> attention() { return {}; }
  // [n_heads, n] the same by query head: these share kv heads in their order.
  virtual std::span<const float> attention_by_head() { return {}; }
  // [n_kv_heads, n] Euclidean norm of each token's value.
  virtual std::span<const float> value_norms() { return {}; }

  std::span<const int32_t> positions;  // [n]
  size_t layer = 0;                    // where all this was seen
  ScheduleStage stage;                 // the one that is chosen for, at this layer or above it
  size_t n_heads = 0;
  size_t n_kv_heads = 0;
};

// When a policy looks at attention.
enum class AttentionUse { kNever, kFirstStep, kAlways };

// Whose attention counts, and where.
enum class Voters {
  kLastRow,  // the newest row's, at the stage's layer
  kWindow,   // the newest LazyOptions::window_rows rows', at the stage's layer
  // The last row's and that of the window_rows before it, or before the words that a chat template put at the
  // end: added up over LazyOptions::score_layers layers, the stage's and those before it.
  kWords,
};

// What leaves at a stage.
enum class Leaves {
  kRows,     // tokens: above the stage's layer they are neither computed nor seen
  kColumns,  // columns alone, after a dense first step: every layer from the first stage's on chooses its own
  kPrompt,   // the model starts again with the tokens that the first stage kept
};

struct PolicyInfo {
  Policy policy = Policy::kLazy;
  std::string_view name;  // as --policy calls it
  std::string_view help;  // what it keeps, a few words
  AttentionUse attention = AttentionUse::kNever;
  Voters voters = Voters::kLastRow;
  bool pools = false;         // scores are pooled over neighbours (LazyOptions::pooling)
  bool chooses_once = false;  // the first step's choice holds for good: nothing comes back
  bool remembers = false;     // in an answer, votes of earlier steps count (LazyOptions::vote_memory)
  // How many come back in a decode step, and with what margin, where neither the caller nor a preset says.
  Revival revival = Revival::up_to(1);
  float revive_margin = 0;
  Leaves leaves = Leaves::kRows;
  size_t search_order = 0;  // when `calibrate` tries it, 1 first; 0: never
  // What one layer says of the tokens: higher stays. [n]
  std::vector<float> (*score)(const LazyOptions& options, Evidence& evidence) = nullptr;
};

// All of them, in the order of the enum.
std::span<const PolicyInfo> policies();
const PolicyInfo& policy_info(Policy policy);
// Of the policy that is used: where the options name none, and no preset does, LazyLLM's.
const PolicyInfo& policy_info(const LazyOptions& options);

std::string_view policy_name(Policy policy);
// The error lists the names that there are.
Result<Policy> policy_from_name(std::string_view name);

}  // namespace lazyfill
