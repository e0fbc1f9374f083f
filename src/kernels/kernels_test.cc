#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

TEST(Kernels, ReferenceIsEverywhere) {
  const auto kernels = kernels_for("reference");
  ASSERT_TRUE(kernels);
  EXPECT_EQ((*kernels)->name, "reference");
}

TEST(Kernels, AnUnknownNameIsAnErrorThatListsAll) {
  for (const std::string name : {"sse9", "AVX2", "avx", " "}) {
    const auto kernels = kernels_for(name);
    ASSERT_FALSE(kernels) << name;
    EXPECT_EQ(kernels.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(kernels.error().message.find('"' + name + '"'), std::string::npos) << kernels.error().message;
    for (const std::string& known : isa_names())
      EXPECT_NE(kernels.error().message.find(known), std::string::npos) << known;
  }
}

TEST(Kernels, EveryTableHasItsOwnNameOrIsRefusedWithTheObstacle) {
  for (const InstructionSet& set : instruction_sets()) {
    const auto kernels = kernels_for(set.name);
    const std::string obstacle = set.obstacle();
    ASSERT_EQ(kernels.has_value(), obstacle.empty()) << set.name;
    ASSERT_EQ(machine_supports(set.name), obstacle.empty()) << set.name;
    if (kernels) {
      EXPECT_EQ((*kernels)->name, set.name);
    } else {
      EXPECT_EQ(kernels.error().code, ErrorCode::kUnsupported);
      EXPECT_NE(kernels.error().message.find(obstacle), std::string::npos);
    }
  }
}

TEST(Kernels, WithoutANameTheBestOfThisMachine) {
  std::string_view best;
  for (const InstructionSet& set : instruction_sets()) {
    if (machine_supports(set.name)) best = set.name;
  }
  const auto kernels = kernels_for("");
  ASSERT_TRUE(kernels);
  EXPECT_EQ((*kernels)->name, best);
}

}  // namespace
}  // namespace lazyfill
