#include "pruning/preset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "pruning/schedule.h"

namespace lazyfill {
namespace {

using testing::HasSubstr;

Preset example() {
  Preset preset;
  preset.fingerprint = "0123456789abcdef";
  preset.model = "A \"model\"";
  preset.lazy.schedule = "9:0.31,15:0.5";
  preset.lazy.policy = Policy::kFocus;
  preset.lazy.pooling = Pooling::kMax;
  preset.lazy.score_layers = 2;
  preset.lazy.vote_memory = 0.65F;
  preset.lazy.revival = Revival::up_to(5);
  preset.lazy.revive_margin = 2.5F;
  preset.lazy.attention_mass = 0.95F;
  preset.min_tokens = 300;
  preset.max_kl = 0.05;
  preset.min_agreement = 0.9;
  preset.kl = 0.041;
  preset.agreement = 0.93;
  preset.speed_up = 2.1;
  preset.prompt_tokens = 4096;
  return preset;
}

TEST(Preset, SurvivesTheFile) {
  const Preset before = example();
  const auto after = preset_from_json(preset_to_json(before), "p.json");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->fingerprint, before.fingerprint);
  EXPECT_EQ(after->model, before.model);
  EXPECT_EQ(after->lazy.schedule, before.lazy.schedule);
  EXPECT_EQ(after->lazy.policy, before.lazy.policy);
  EXPECT_EQ(after->lazy.pooling, before.lazy.pooling);
  EXPECT_EQ(after->lazy.score_layers, before.lazy.score_layers);
  EXPECT_EQ(after->lazy.vote_memory, before.lazy.vote_memory);
  EXPECT_EQ(after->lazy.revival, before.lazy.revival);
  EXPECT_EQ(after->lazy.revive_margin, before.lazy.revive_margin);
  EXPECT_EQ(after->lazy.attention_mass, before.lazy.attention_mass);
  EXPECT_EQ(after->prompt_tokens, before.prompt_tokens);
  EXPECT_EQ(after->min_tokens, before.min_tokens);
  EXPECT_EQ(after->kl, before.kl);
  EXPECT_EQ(preset_to_json(*after), preset_to_json(before));
}

TEST(Preset, MayBringAllBack) {
  Preset preset = example();
  preset.lazy.revival = Revival::all();
  EXPECT_THAT(preset_to_json(preset), HasSubstr("\"revive\": \"all\""));
  EXPECT_EQ(preset_from_json(preset_to_json(preset), "p.json")->lazy.revival, Revival::all());
  preset.lazy.revival = Revival::automatic();
  EXPECT_THAT(preset_to_json(preset), HasSubstr("\"revive\": \"auto\""));
  EXPECT_EQ(preset_from_json(preset_to_json(preset), "p.json")->lazy.revival, Revival::automatic());
}

TEST(Preset, SaysItsShareOfTheAttentionAsAPersonWould) {
  EXPECT_THAT(preset_to_json(example()), HasSubstr("\"sparse_attention\": 0.95,"));
}

TEST(Preset, TellsItsKind) {
  Preset preset = example();
  EXPECT_EQ(preset_from_json(preset_to_json(preset), "p.json")->kind, PresetKind::kAuto);
  preset.kind = PresetKind::kFast;
  EXPECT_THAT(preset_to_json(preset), HasSubstr("\"preset\": \"fast\""));
  EXPECT_EQ(preset_from_json(preset_to_json(preset), "p.json")->kind, PresetKind::kFast);
}

TEST(Preset, FilesOfOlderVersionsAreCarefulAndDense) {
  std::string old = preset_to_json(example());
  for (const std::string line :
       {"  \"preset\": \"auto\",\n", "  \"sparse_attention\": 0.95,\n", "  \"vote_memory\": 0.65,\n",
        "  \"revive\": 5,\n", "  \"revive_margin\": 2.5,\n", ",\n    \"prompt_tokens\": 4096"}) {
    ASSERT_NE(old.find(line), std::string::npos) << line;
    old.erase(old.find(line), line.size());
  }
  const auto preset = preset_from_json(old, "p.json");
  ASSERT_TRUE(preset) << preset.error().message;
  EXPECT_EQ(preset->kind, PresetKind::kAuto);
  EXPECT_EQ(preset->lazy.attention_mass, 1.0F);
  EXPECT_EQ(preset->lazy.vote_memory, 0);
  EXPECT_EQ(preset->lazy.revival, Revival::all());
  EXPECT_EQ(preset->lazy.revive_margin, 0);
  EXPECT_EQ(preset->prompt_tokens, 0U);
}

TEST(PresetNames, StandForAPresetAndNothingElseDoes) {
  EXPECT_EQ(preset_named("auto"), PresetKind::kAuto);
  EXPECT_EQ(preset_named("fast"), PresetKind::kFast);
  for (const char* schedule : {"off", "9:0.5", "", "fas", "faster"}) EXPECT_FALSE(preset_named(schedule));
  for (PresetKind kind : kPresetKinds) EXPECT_EQ(preset_named(preset_name(kind)), kind);
}

TEST(Preset, DamagedFilesAreRefusedByTheirField) {
  const std::string good = preset_to_json(example());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    return bad;
  };
  struct Case {
    std::string json;
    std::string named;
  };
  const Case cases[] = {
      {"", "no JSON"},
      {"[1]", "no JSON"},
      {good.substr(0, good.size() / 2), "no JSON"},
      {with("\"version\": 1", "\"version\": 2"), "version"},
      {with("9:0.31,15:0.5", "auto"), "schedule"},
      {with("9:0.31,15:0.5", "fast"), "schedule"},
      {with("\"preset\": \"auto\"", "\"preset\": \"slow\""), "preset"},
      {with("\"preset\": \"auto\"", "\"preset\": 1"), "preset"},
      {with("\"sparse_attention\": 0.95", "\"sparse_attention\": 0"), "sparse_attention"},
      {with("\"sparse_attention\": 0.95", "\"sparse_attention\": 1.5"), "sparse_attention"},
      {with("\"sparse_attention\": 0.95", "\"sparse_attention\": \"0.9\""), "sparse_attention"},
      {with("\"prompt_tokens\": 4096", "\"prompt_tokens\": -1"), "prompt_tokens"},
      {with("\"focus\"", "\"fokus\""), "policy"},
      {with("\"focus\"", "\"auto\""), "policy"},
      {with("\"max\"", "\"mean\""), "pooling"},
      {with("\"min_tokens\": 300", "\"min_tokens\": -1"), "min_tokens"},
      {with("\"min_tokens\": 300", "\"min_tokens\": 1.5"), "min_tokens"},
      {with("\"min_tokens\": 300", "\"min_tokens\": 1e300"), "min_tokens"},
      {with("\"window_rows\": 8", "\"window_rows\": 0"), "window_rows"},
      {with("\"revive\": 5", "\"revive\": \"most\""), "revive"},
      {with("\"revive_margin\": 2.5", "\"revive_margin\": -1"), "revive_margin"},
      {with("\"vote_memory\": 0.65", "\"vote_memory\": 1"), "vote_memory"},
      {with("\"max_kl\"", "\"max\""), "max_kl"},
  };
  for (const Case& c : cases) {
    const auto preset = preset_from_json(c.json, "p.json");
    ASSERT_FALSE(preset) << c.named;
    EXPECT_EQ(preset.error().code, ErrorCode::kInvalidFile);
    EXPECT_THAT(preset.error().message, HasSubstr(c.named));
  }
}

TEST(Preset, TheShippedOnesAreSound) {
  std::set<std::pair<std::string, PresetKind>> known;
  for (std::string_view json : shipped_presets()) {
    const auto preset = preset_from_json(json, "shipped");
    ASSERT_TRUE(preset) << preset.error().message;
    EXPECT_TRUE(known.emplace(preset->fingerprint, preset->kind).second) << preset->model;
    EXPECT_LE(preset->kl, preset->max_kl) << preset->model;
    EXPECT_GE(preset->agreement, preset->min_agreement) << preset->model;
    EXPECT_TRUE(preset->lazy.schedule != "off" || preset->lazy.attention_mass < 1) << preset->model;
  }
}

}  // namespace
}  // namespace lazyfill
