#include "engine/presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lazyfill {
namespace {

ModelConfig model_of(size_t n_layers) {
  ModelConfig config;
  config.n_layers = n_layers;
  config.layers.resize(n_layers);
  return config;
}

FoundPreset preset_for(const std::string& fingerprint) {
  FoundPreset found;
  found.place = "user";
  found.preset.fingerprint = fingerprint;
  found.preset.lazy.schedule = "3:0.25,6:0.5";
  found.preset.lazy.policy = Policy::kFocus;
  found.preset.lazy.window_rows = 5;
  found.preset.lazy.vote_memory = 0.5F;
  found.preset.min_tokens = 300;
  return found;
}

LazyOptions with_schedule(const std::string& schedule, Policy policy = Policy::kAuto) {
  LazyOptions lazy;
  lazy.schedule = schedule;
  lazy.policy = policy;
  return lazy;
}

TEST(ResolveLazy, AutoTakesThePreset) {
  const FoundPreset found = preset_for("x");
  const auto resolved = resolve_lazy(model_of(10), &found, with_schedule("auto"), 300);
  ASSERT_TRUE(resolved) << resolved.error().message;
  ASSERT_EQ(resolved->stages.size(), 2U);
  EXPECT_EQ(resolved->stages[0].layer, 3U);
  EXPECT_EQ(resolved->lazy.policy, Policy::kFocus);
  EXPECT_EQ(resolved->lazy.window_rows, 5U);
  EXPECT_EQ(resolved->lazy.vote_memory, 0.5F);
  EXPECT_EQ(resolved->choice.source, "preset (user)");
  EXPECT_EQ(resolved->choice.policy, "focus");
  EXPECT_FALSE(resolved->choice.short_prompt);
}

TEST(ResolveLazy, AShortPromptStaysDense) {
  const FoundPreset found = preset_for("x");
  const auto resolved = resolve_lazy(model_of(10), &found, with_schedule("auto"), 299);
  ASSERT_TRUE(resolved);
  EXPECT_TRUE(resolved->stages.empty());
  EXPECT_TRUE(resolved->choice.short_prompt);
  EXPECT_EQ(resolved->choice.min_tokens, 300U);
}

TEST(ResolveLazy, WithoutAPresetAutoIsCareful) {
  const auto resolved = resolve_lazy(model_of(20), nullptr, with_schedule("auto"), 2000);
  ASSERT_TRUE(resolved);
  ASSERT_EQ(resolved->stages.size(), 2U);
  EXPECT_EQ(resolved->stages[0].layer, 10U);
  EXPECT_EQ(resolved->choice.source, "default");
  EXPECT_EQ(resolved->lazy.policy, Policy::kLazy);
  EXPECT_TRUE(resolve_lazy(model_of(20), nullptr, with_schedule("auto"), 500)->stages.empty());
}

TEST(ResolveLazy, WhatTheCallerNamesWins) {
  const FoundPreset found = preset_for("x");
  const auto policy = resolve_lazy(model_of(10), &found, with_schedule("auto", Policy::kRandom), 1000);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->lazy.policy, Policy::kRandom);
  EXPECT_EQ(policy->stages.size(), 2U);
  const auto schedule = resolve_lazy(model_of(10), &found, with_schedule("5:0.5"), 1000);
  ASSERT_TRUE(schedule);
  EXPECT_EQ(schedule->lazy.policy, Policy::kLazy);
  EXPECT_EQ(schedule->stages.size(), 1U);
  EXPECT_EQ(schedule->choice.source, "given");
  EXPECT_TRUE(resolve_lazy(model_of(10), &found, with_schedule("off"), 1000)->stages.empty());
}

TEST(ResolveLazy, APresetBringsAllBackUnlessTheCallerSaysHowMany) {
  const FoundPreset found = preset_for("x");
  const auto max_revived = [&](const FoundPreset* preset, std::optional<size_t> given) {
    LazyOptions lazy;
    lazy.max_revived = given;
    return resolve_lazy(model_of(20), preset, lazy, 2000)->lazy.max_revived;
  };
  EXPECT_EQ(max_revived(&found, std::nullopt), kReviveAll);
  EXPECT_EQ(max_revived(&found, 1), 1U);
  EXPECT_EQ(max_revived(nullptr, std::nullopt), 1U);
  EXPECT_EQ(max_revived(nullptr, 3), 3U);
}

TEST(ResolveLazy, AShareOfTheAttentionNeedsAttention) {
  LazyOptions lazy;
  lazy.schedule = "3:p0.9";
  EXPECT_TRUE(resolve_lazy(model_of(10), nullptr, lazy, 2000));
  lazy.policy = Policy::kRandom;
  const auto refused = resolve_lazy(model_of(10), nullptr, lazy, 2000);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("random"));
}

TEST(ResolveLazy, APresetThatDoesNotFitIsRefused) {
  FoundPreset found = preset_for("x");
  found.preset.lazy.schedule = "50:0.5";
  EXPECT_FALSE(resolve_lazy(model_of(10), &found, with_schedule("auto"), 1000));
}

class FindPreset : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  std::filesystem::path folder_;
};

TEST_F(FindPreset, BesideTheModelComesFirstAndOnlyForThisModel) {
  Preset user = preset_for("abc").preset;
  user.model = "user";
  Preset beside = user;
  beside.model = "beside";
  const std::string model = (folder_ / "m.gguf").string();
  EXPECT_FALSE(find_preset("abc", model, folder_.string())->has_value());
  write("abc.json", preset_to_json(user));
  EXPECT_EQ((*find_preset("abc", model, folder_.string()))->place, "user");
  EXPECT_FALSE(find_preset("abc", model, "")->has_value());
  write("m.gguf.preset.json", preset_to_json(beside));
  EXPECT_EQ((*find_preset("abc", model, folder_.string()))->preset.model, "beside");
  beside.fingerprint = "other";
  write("m.gguf.preset.json", preset_to_json(beside));
  EXPECT_EQ((*find_preset("abc", model, folder_.string()))->preset.model, "user");
}

TEST_F(FindPreset, ADamagedFileIsAnError) {
  write("abc.json", "{\"version\": 1");
  const auto found = find_preset("abc", (folder_ / "m.gguf").string(), folder_.string());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, testing::HasSubstr("abc.json"));
}

}  // namespace
}  // namespace lazyfill
