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

LazyOptions with_schedule(const std::string& schedule, std::optional<Policy> policy = {}) {
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
  EXPECT_EQ(resolved->stages[0].layer, 6U);
  EXPECT_EQ(resolved->stages[1].layer, 12U);
  EXPECT_EQ(resolved->choice.source, "default");
  EXPECT_EQ(resolved->lazy.attention_mass, 0.95F);
  EXPECT_EQ(resolved->lazy.policy, Policy::kFocus);
  EXPECT_EQ(resolved->lazy.revival, Revival::automatic());
  EXPECT_TRUE(resolve_lazy(model_of(20), nullptr, with_schedule("auto"), 500)->stages.empty());
}

TEST(ResolveLazy, TheDefaultPrunesWhereTheModelCan) {
  // Layers that see a window cannot prune; those two that are nearest to the default's depths may be one.
  const auto stages_with = [](size_t n_layers, std::vector<size_t> wide) {
    ModelConfig config = model_of(n_layers);
    for (LayerConfig& layer : config.layers) layer.window = 512;
    for (size_t layer : wide) config.layers[layer].window = 0;
    const auto resolved = resolve_lazy(config, nullptr, with_schedule("auto"), 2000);
    EXPECT_TRUE(resolved) << resolved.error().message;
    std::vector<size_t> layers;
    for (const ScheduleStage& stage : resolved->stages) layers.push_back(stage.layer);
    return layers;
  };
  EXPECT_THAT(stages_with(18, {5, 11, 17}), testing::ElementsAre(5, 11));
  EXPECT_THAT(stages_with(18, {14, 16}), testing::ElementsAre(14));
  EXPECT_THAT(stages_with(18, {8}), testing::ElementsAre(8));
  EXPECT_THAT(stages_with(18, {}), testing::IsEmpty());
  EXPECT_THAT(stages_with(18, {1, 2}), testing::IsEmpty());  // too early for either stage
  EXPECT_THAT(stages_with(2, {0, 1}), testing::IsEmpty());
  EXPECT_THAT(stages_with(4, {0, 1, 2, 3}), testing::ElementsAre(1, 2));
}

TEST(ResolveLazy, WhatTheCallerNamesWins) {
  const auto named = resolve_lazy(model_of(20), nullptr, with_schedule("auto", Policy::kLazy), 2000);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->lazy.policy, Policy::kLazy);

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

TEST(ResolveLazy, SaysHowManyComeBack) {
  FoundPreset limited = preset_for("x");
  limited.preset.lazy.revival = Revival::up_to(5);
  limited.preset.lazy.revive_margin = 2;
  FoundPreset all = preset_for("x");
  all.preset.lazy.revival = Revival::all();
  all.preset.lazy.revive_margin = 0;
  using Limit = std::pair<Revival, float>;
  const auto limit = [&](const FoundPreset* preset, std::optional<Policy> policy, Revival given,
                         std::optional<float> margin) {
    LazyOptions lazy = with_schedule(preset == nullptr ? "3:0.5" : "auto", policy);
    lazy.revival = given;
    lazy.revive_margin = margin;
    const LazyOptions resolved = resolve_lazy(model_of(20), preset, lazy, 2000)->lazy;
    return Limit(resolved.revival, resolved.revive_margin.value());
  };
  constexpr auto kNone = std::nullopt;
  EXPECT_EQ(limit(nullptr, kNone, {}, kNone), Limit(Revival::up_to(1), 0));
  EXPECT_EQ(limit(nullptr, Policy::kWindow, {}, kNone), Limit(Revival::automatic(), 8));
  EXPECT_EQ(limit(nullptr, Policy::kStatic, {}, kNone), Limit(Revival::up_to(1), 0));
  EXPECT_EQ(limit(nullptr, Policy::kFocus, {}, kNone), Limit(Revival::automatic(), 3));
  EXPECT_EQ(limit(nullptr, Policy::kFocus, Revival::up_to(3), kNone), Limit(Revival::up_to(3), 3));
  EXPECT_EQ(limit(nullptr, Policy::kFocus, Revival::all(), kNone), Limit(Revival::all(), 0));
  EXPECT_EQ(limit(nullptr, Policy::kFocus, Revival::all(), 2), Limit(Revival::all(), 2));
  EXPECT_EQ(limit(&limited, kNone, {}, kNone), Limit(Revival::up_to(5), 2));
  EXPECT_EQ(limit(&limited, kNone, {}, 4), Limit(Revival::up_to(5), 4));
  EXPECT_EQ(limit(&limited, kNone, Revival::up_to(1), kNone), Limit(Revival::up_to(1), 3));
  EXPECT_EQ(limit(&limited, kNone, Revival::all(), kNone), Limit(Revival::all(), 0));
  EXPECT_EQ(limit(&limited, Policy::kLazy, {}, kNone),
            Limit(Revival::up_to(1), 0));  // the preset's schedule alone
  EXPECT_EQ(limit(&all, kNone, {}, kNone), Limit(Revival::all(), 0));
}

TEST(ResolveLazy, APresetBringsSparseAttentionUnlessTheCallerSaysHowMuch) {
  FoundPreset found = preset_for("x");
  found.preset.lazy.attention_mass = 0.95F;
  const auto mass = [&](const std::string& schedule, std::optional<float> given, size_t n_tokens) {
    LazyOptions lazy = with_schedule(schedule);
    lazy.attention_mass = given;
    const auto resolved = resolve_lazy(model_of(20), &found, lazy, n_tokens);
    EXPECT_EQ(resolved->choice.attention_mass, *resolved->lazy.attention_mass);
    return *resolved->lazy.attention_mass;
  };
  EXPECT_EQ(mass("auto", std::nullopt, 300), 0.95F);
  EXPECT_EQ(mass("auto", 1.0F, 300), 1.0F);
  EXPECT_EQ(mass("auto", 0.8F, 300), 0.8F);
  EXPECT_EQ(mass("auto", std::nullopt, 299), 1.0F);  // dense for short prompts is dense in all
  EXPECT_EQ(mass("auto", 0.8F, 299), 0.8F);
  EXPECT_EQ(mass("3:0.5", std::nullopt, 300), 1.0F);
  EXPECT_EQ(mass("off", std::nullopt, 300), 1.0F);
}

TEST(ResolveLazy, APresetMayBeSparseAttentionAlone) {
  FoundPreset found = preset_for("x");
  found.preset.lazy.schedule = "off";
  found.preset.lazy.attention_mass = 0.9F;
  const auto resolved = resolve_lazy(model_of(10), &found, with_schedule("auto"), 1000);
  ASSERT_TRUE(resolved);
  EXPECT_TRUE(resolved->stages.empty());
  EXPECT_EQ(resolved->lazy.attention_mass, 0.9F);
}

TEST(ResolveLazy, FastIsLikeAutoAndTheSourceTellsWhatItWas) {
  FoundPreset fast = preset_for("x");
  fast.preset.kind = PresetKind::kFast;
  const auto taken = resolve_lazy(model_of(10), &fast, with_schedule("fast"), 300);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->stages.size(), 2U);
  EXPECT_EQ(taken->lazy.policy, Policy::kFocus);
  EXPECT_EQ(taken->lazy.revival, Revival::automatic());
  EXPECT_EQ(taken->choice.source, "fast preset (user)");
  EXPECT_TRUE(resolve_lazy(model_of(10), &fast, with_schedule("fast"), 299)->choice.short_prompt);
  const FoundPreset careful = preset_for("x");
  const auto instead = resolve_lazy(model_of(10), &careful, with_schedule("fast"), 300);
  EXPECT_EQ(instead->choice.source, "no fast preset: preset (user)");
  EXPECT_EQ(instead->stages.size(), 2U);
  EXPECT_EQ(resolve_lazy(model_of(20), nullptr, with_schedule("fast"), 2000)->choice.source,
            "no fast preset: default");
}

TEST(ResolveLazy, AWordThatIsNoScheduleIsToldWhatThereIs) {
  const auto refused = resolve_lazy(model_of(10), nullptr, with_schedule("fas"), 300);
  ASSERT_FALSE(refused);
  for (const char* known : {"\"fas\"", "off", "auto", "fast", "LAYER:KEEP"})
    EXPECT_THAT(refused.error().message, testing::HasSubstr(known));
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
  const auto find = [&](const std::string& folder, PresetKind kind = PresetKind::kAuto) {
    return find_preset("abc", model, folder, kind);
  };
  EXPECT_FALSE(find(folder_.string())->has_value());
  write("abc.json", preset_to_json(user));
  EXPECT_EQ((*find(folder_.string()))->place, "user");
  EXPECT_FALSE(find("")->has_value());
  write("m.gguf.preset.json", preset_to_json(beside));
  EXPECT_EQ((*find(folder_.string()))->preset.model, "beside");
  beside.fingerprint = "other";
  write("m.gguf.preset.json", preset_to_json(beside));
  EXPECT_EQ((*find(folder_.string()))->preset.model, "user");
  EXPECT_FALSE(find(folder_.string(), PresetKind::kFast)->has_value());
}

TEST_F(FindPreset, TheFastOneHasFilesOfItsOwn) {
  const std::string model = (folder_ / "m.gguf").string();
  Preset fast = preset_for("abc").preset;
  fast.kind = PresetKind::kFast;
  write("abc.fast.json", preset_to_json(fast));
  EXPECT_FALSE(find_preset("abc", model, folder_.string(), PresetKind::kAuto)->has_value());
  EXPECT_EQ((*find_preset("abc", model, folder_.string(), PresetKind::kFast))->place, "user");
  fast.kind = PresetKind::kAuto;  // the name of the file counts
  write("m.gguf.fast.preset.json", preset_to_json(fast));
  const auto beside = find_preset("abc", model, folder_.string(), PresetKind::kFast);
  EXPECT_EQ((*beside)->place, "beside the model");
  EXPECT_EQ((*beside)->preset.kind, PresetKind::kFast);
}

TEST_F(FindPreset, ShippedOnesAreTakenByTheirKind) {
  for (std::string_view json : shipped_presets()) {
    const auto preset = preset_from_json(json, "shipped");
    ASSERT_TRUE(preset);
    for (PresetKind kind : kPresetKinds) {
      const auto found = find_preset(preset->fingerprint, (folder_ / "m.gguf").string(), "", kind);
      ASSERT_TRUE(found);
      if (kind == preset->kind) {
        EXPECT_TRUE(found->has_value());
      }
      if (found->has_value()) {
        EXPECT_EQ((*found)->preset.kind, kind);
      }
    }
  }
}

TEST_F(FindPreset, ADamagedFileIsAnErrorForThoseWhoWantIt) {
  write("abc.json", "{\"version\": 1");
  const ModelPresets presets("abc", (folder_ / "m.gguf").string(), folder_.string());
  const auto wanted = presets.for_schedule("auto");
  ASSERT_FALSE(wanted);
  EXPECT_THAT(wanted.error().message, testing::HasSubstr("abc.json"));
  EXPECT_FALSE(presets.for_schedule("fast"));  // which would be it, too
  EXPECT_TRUE(presets.for_schedule("off"));
  write("abc.fast.json", preset_to_json(preset_for("abc").preset));
  const ModelPresets both("abc", (folder_ / "m.gguf").string(), folder_.string());
  EXPECT_TRUE(both.for_schedule("fast"));
  EXPECT_FALSE(both.for_schedule("auto"));
}

TEST_F(FindPreset, WithoutAFastOneTheCarefulOneServes) {
  write("abc.json", preset_to_json(preset_for("abc").preset));
  const ModelPresets presets("abc", (folder_ / "m.gguf").string(), folder_.string());
  EXPECT_EQ((*presets.for_schedule("fast"))->preset.kind, PresetKind::kAuto);
  EXPECT_EQ(*presets.for_schedule("fast"), *presets.for_schedule("auto"));
  EXPECT_EQ(*presets.for_schedule("3:0.5"), nullptr);
  EXPECT_EQ(*ModelPresets().for_schedule("fast"), nullptr);
}

}  // namespace
}  // namespace lazyfill
