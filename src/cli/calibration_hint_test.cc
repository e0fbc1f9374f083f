#include "cli/calibration_hint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lazyfill::cli {
namespace {

class CalibrationHint : public testing::Test {
 protected:
  CalibrationHint()
      : folder_(std::filesystem::path(testing::TempDir()) /
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
  }
  ~CalibrationHint() override { std::filesystem::remove_all(folder_); }

  std::string hint(const std::string& source, bool short_prompt = false,
                   const std::string& fingerprint = "abc") {
    LazyChoice choice;
    choice.source = source;
    choice.short_prompt = short_prompt;
    return calibration_hint(choice, fingerprint, "m.gguf", (folder_ / "hints").string());
  }

  std::filesystem::path folder_;
};

TEST_F(CalibrationHint, IsSaidOnceOfEachModel) {
  EXPECT_THAT(hint("default"), testing::HasSubstr("lazyfill calibrate --quick -m m.gguf"));
  EXPECT_EQ(hint("default"), "");
  EXPECT_NE(hint("no fast preset: default", false, "def"), "");
}

TEST_F(CalibrationHint, AShortPromptOrAnotherScheduleSaysAndRemembersNothing) {
  EXPECT_EQ(hint("default", true), "");
  EXPECT_EQ(hint("given"), "");
  EXPECT_EQ(hint("preset (user)"), "");
  EXPECT_EQ(hint("no fast preset: preset (shipped)"), "");
  EXPECT_FALSE(std::filesystem::exists(folder_));
  EXPECT_NE(hint("default"), "");
}

TEST_F(CalibrationHint, WhatCannotBeRememberedIsNotSaid) {
  std::ofstream(folder_) << "a file where the folder would be";
  EXPECT_EQ(hint("default"), "");
}

}  // namespace
}  // namespace lazyfill::cli
