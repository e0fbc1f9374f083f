// What must hold for the table of policies, checked while it is compiled.
#pragma once

#include <cstddef>
#include <span>

#include "lazyfill/policies.h"

namespace lazyfill {

inline constexpr size_t kNumPolicies = static_cast<size_t>(Policy::kEnd);

enum class TableFault {
  kNone,
  kNoRow,      // a policy of the enum has none, or a row stands elsewhere than its policy in the enum
  kNoName,     // or no help, or a name that another row has
  kNoScore,    // nothing to score by
  kAttention,  // in the first step alone it is looked at by those, and only those, who choose once
  kNoVotes,    // voters or a memory of votes, without a look at attention
};

constexpr TableFault fault_in(std::span<const PolicyInfo> rows) {
  if (rows.size() != kNumPolicies) return TableFault::kNoRow;
  for (size_t i = 0; i < rows.size(); ++i) {
    const PolicyInfo& row = rows[i];
    if (static_cast<size_t>(row.policy) != i) return TableFault::kNoRow;
    if (row.name.empty() || row.help.empty()) return TableFault::kNoName;
    for (size_t before = 0; before < i; ++before) {
      if (rows[before].name == row.name) return TableFault::kNoName;
    }
    if (row.score == nullptr) return TableFault::kNoScore;
    if (row.chooses_once && row.attention == AttentionUse::kAlways) return TableFault::kAttention;
    if (!row.chooses_once && row.attention == AttentionUse::kFirstStep) return TableFault::kAttention;
    const bool votes = row.voters != Voters::kLastRow || row.remembers;
    if (votes && row.attention == AttentionUse::kNever) return TableFault::kNoVotes;
  }
  return TableFault::kNone;
}

}  // namespace lazyfill
