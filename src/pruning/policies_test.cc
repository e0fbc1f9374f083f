#include "lazyfill/policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <functional>
#include <string>

#include "pruning/policy.h"
#include "pruning/policy_rows.h"

namespace lazyfill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Rows = std::array<PolicyInfo, kNumPolicies>;

// The table with one row changed.
TableFault fault_after(Policy of, const std::function<void(PolicyInfo&)>& change) {
  Rows rows;
  std::copy(policies().begin(), policies().end(), rows.begin());
  change(rows[static_cast<size_t>(of)]);
  return fault_in(rows);
}

TEST(Policies, NamesGoBothWays) {
  for (const PolicyInfo& info : policies()) {
    const auto back = policy_from_name(info.name);
    ASSERT_TRUE(back) << info.name;
    EXPECT_EQ(*back, info.policy);
    EXPECT_EQ(policy_name(info.policy), info.name);
  }
}

TEST(Policies, AnUnknownNameIsAnErrorThatListsThoseThereAre) {
  const auto unknown = policy_from_name("best");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("best"));
  for (const PolicyInfo& info : policies())
    EXPECT_THAT(unknown.error().message, HasSubstr(std::string(info.name)));
  EXPECT_FALSE(policy_from_name(""));
  EXPECT_FALSE(policy_from_name("auto"));  // what a flag may say, but nothing that chooses
}

TEST(Policies, WithoutANameOptionsMeanLazyLlm) {
  LazyOptions options;
  EXPECT_EQ(policy_info(options).name, "lazy");
  options.policy = Policy::kRecent;
  EXPECT_EQ(policy_info(options).name, "recent");
}

// What the static_assert beside the table sees, one fault after the other.
TEST(PolicyTable, ARowThatIsMissingOrContradictsItselfIsAFault) {
  EXPECT_EQ(fault_after(Policy::kFocus, [](PolicyInfo&) {}), TableFault::kNone);
  const auto last = static_cast<Policy>(kNumPolicies - 1);
  EXPECT_EQ(fault_after(last, [](PolicyInfo& row) { row = {}; }), TableFault::kNoRow);
  EXPECT_EQ(fault_in(policies().first(kNumPolicies - 1)), TableFault::kNoRow);
  EXPECT_EQ(fault_after(Policy::kWindow, [](PolicyInfo& row) { row.policy = Policy::kFocus; }),
            TableFault::kNoRow);
  EXPECT_EQ(fault_after(Policy::kWindow, [](PolicyInfo& row) { row.name = ""; }), TableFault::kNoName);
  EXPECT_EQ(fault_after(Policy::kWindow, [](PolicyInfo& row) { row.name = "lazy"; }), TableFault::kNoName);
  EXPECT_EQ(fault_after(Policy::kWindow, [](PolicyInfo& row) { row.help = ""; }), TableFault::kNoName);
  EXPECT_EQ(fault_after(Policy::kWindow, [](PolicyInfo& row) { row.score = nullptr; }), TableFault::kNoScore);
  EXPECT_EQ(fault_after(Policy::kStatic, [](PolicyInfo& row) { row.attention = AttentionUse::kAlways; }),
            TableFault::kAttention);
  EXPECT_EQ(fault_after(Policy::kLazy, [](PolicyInfo& row) { row.attention = AttentionUse::kFirstStep; }),
            TableFault::kAttention);
  EXPECT_EQ(fault_after(Policy::kRecent, [](PolicyInfo& row) { row.voters = Voters::kWindow; }),
            TableFault::kNoVotes);
  EXPECT_EQ(fault_after(Policy::kRecent, [](PolicyInfo& row) { row.remembers = true; }),
            TableFault::kNoVotes);
}

TEST(Policies, TheDocumentsTableHasARowForEachAndSaysHowItChooses) {
  std::ifstream file(LAZYFILL_POLICY_DOCS);
  ASSERT_TRUE(file) << LAZYFILL_POLICY_DOCS;
  std::string line;
  while (std::getline(file, line) && line != "| policy | keeps | chosen | |") continue;
  ASSERT_TRUE(std::getline(file, line)) << "no table of policies";
  size_t n_rows = 0;
  for (; std::getline(file, line) && line.starts_with("| `"); ++n_rows) {
    const std::string name = line.substr(3, line.find('`', 3) - 3);
    const auto policy = policy_from_name(name);
    ASSERT_TRUE(policy) << line;
    const std::string chosen = policy_info(*policy).chooses_once ? "| once" : "| anew";
    EXPECT_THAT(line, HasSubstr(chosen));
  }
  EXPECT_EQ(n_rows, policies().size());
}

TEST(Policies, ASearchBeginsWithTheOneThatLosesLeast) {
  EXPECT_THAT(searched_policies(), ElementsAre(Policy::kFocus, Policy::kWindow, Policy::kLazy));
}

}  // namespace
}  // namespace lazyfill
