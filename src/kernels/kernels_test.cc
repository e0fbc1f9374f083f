#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace lazyfill {
namespace {

// Sets LAZYFILL_ISA for one test and puts the old value back.
class IsaVariable {
 public:
  explicit IsaVariable(const char* value) {
    if (const char* old = std::getenv("LAZYFILL_ISA")) old_ = old;
    value == nullptr ? unsetenv("LAZYFILL_ISA") : setenv("LAZYFILL_ISA", value, 1);
  }
  ~IsaVariable() { old_.empty() ? unsetenv("LAZYFILL_ISA") : setenv("LAZYFILL_ISA", old_.c_str(), 1); }

 private:
  std::string old_;
};

TEST(Kernels, ReferenceIsEverywhere) {
  const IsaVariable variable("reference");
  const auto kernels = best_kernels();
  ASSERT_TRUE(kernels);
  EXPECT_EQ((*kernels)->isa, Isa::kReference);
  EXPECT_EQ((*kernels)->name, "reference");
}

TEST(Kernels, UnknownNameIsAnError) {
  const IsaVariable variable("sse9");
  const auto kernels = best_kernels();
  ASSERT_FALSE(kernels);
  EXPECT_EQ(kernels.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(kernels.error().message.find("reference, avx2 or avx512"), std::string::npos);
}

TEST(Kernels, EveryTableIsItsOwnOrRefused) {
  for (const Isa isa : {Isa::kReference, Isa::kAvx2, Isa::kAvx512}) {
    const auto kernels = kernels_for(isa);
    ASSERT_EQ(kernels.has_value(), machine_supports(isa));
    if (kernels) {
      EXPECT_EQ((*kernels)->isa, isa);
    } else {
      EXPECT_EQ(kernels.error().code, ErrorCode::kUnsupported);
    }
  }
}

// A function that reference/table.cc leaves out would be a null pointer in every table, which no compiler
// minds.
TEST(Kernels, NoTableLeavesAFunctionOut) {
  constexpr size_t kBegin = offsetof(Kernels, begin_pack);
  for (const Isa isa : {Isa::kReference, Isa::kAvx2, Isa::kAvx512}) {
    if (!machine_supports(isa)) continue;
    std::array<uintptr_t, (sizeof(Kernels) - kBegin) / sizeof(uintptr_t)> functions;
    std::memcpy(functions.data(), reinterpret_cast<const std::byte*>(*kernels_for(isa)) + kBegin,
                sizeof(functions));
    for (size_t i = 0; i < functions.size(); ++i)
      EXPECT_NE(functions[i], 0U) << (*kernels_for(isa))->name << ", entry " << i;
  }
}

TEST(Kernels, BestIsTheWidest) {
  const IsaVariable variable(nullptr);
  const auto kernels = best_kernels();
  ASSERT_TRUE(kernels);
  const Isa widest = machine_supports(Isa::kAvx512) ? Isa::kAvx512
                     : machine_supports(Isa::kAvx2) ? Isa::kAvx2
                                                    : Isa::kReference;
  EXPECT_EQ((*kernels)->isa, widest);
}

}  // namespace
}  // namespace lazyfill
