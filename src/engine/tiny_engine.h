// An Engine of a small random model, for tests of what is built on it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/tiny_model_file.h"
#include "lazyfill/engine.h"
#include "lazyfill/policies.h"

namespace lazyfill {

inline constexpr TinyModelFile::Sizes kTinyEngine{.n_layers = 6,
                                                  .d_model = 64,
                                                  .d_ff = 96,
                                                  .n_heads = 4,
                                                  .n_kv_heads = 2,
                                                  .context_length = 512,
                                                  .q8 = true};
inline constexpr int32_t kPoison = 200;  // a token whose logits are no numbers, and that is never drawn

inline Engine load_tiny_engine(size_t n_threads, KvType kv = KvType::kAsComputed, const std::string& isa = "",
                               size_t context_length = kTinyEngine.context_length) {
  const std::string path = testing::TempDir() + "tiny_engine_" + std::to_string(getpid()) + ".gguf";
  TinyModelFile::Sizes sizes = kTinyEngine;
  sizes.context_length = context_length;
  TinyModelFile tiny(sizes);
  const size_t row = static_cast<size_t>(kPoison) * kTinyEngine.d_model;
  tiny.set_float("token_embd.weight", row, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < kTinyEngine.d_model; ++i) tiny.set_float("output.weight", row + i, 0);
  EXPECT_TRUE(tiny.save(path));
  auto engine = Engine::load(path, {.n_threads = n_threads, .kv = kv, .isa = isa});
  unlink(path.c_str());  // it stays open
  EXPECT_TRUE(engine) << engine.error().message;
  return *engine;
}

inline std::vector<int32_t> some_tokens(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 190);
  return tokens;
}

// Dense and lazy by every policy, by name.
inline std::vector<std::pair<std::string, LazyOptions>> ways_to_be_lazy() {
  std::vector<std::pair<std::string, LazyOptions>> ways = {{"dense", {.schedule = "off"}}};
  for (const PolicyInfo& info : policies())
    ways.emplace_back(std::string(info.name), LazyOptions{.schedule = "1:0.5,3:0.6", .policy = info.policy});
  return ways;
}

}  // namespace lazyfill
