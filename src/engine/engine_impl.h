// What stands behind the public Engine and Session.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "cache/sequence_cache.h"
#include "engine/presets.h"
#include "engine/step.h"
#include "gguf/file.h"
#include "lazyfill/engine.h"
#include "model/model.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill {

struct Engine::Impl {
  Impl(gguf::File open_file, size_t n_threads) : file(std::move(open_file)), pool(n_threads) {}

  gguf::File file;
  ThreadPool pool;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string chat_template_error;  // why there is none
  // What some files have for conversations with tools, beside the other.
  std::optional<ChatTemplate> tool_template;
  std::string tool_template_error;  // why there is none; empty where the file has none
  std::unique_ptr<StepRunner> runner;
  ModelInfo info;
  ModelPresets presets;
  KvType kv = KvType::kAsComputed;

  Result<ResolvedLazy> resolve(const LazyOptions& lazy, size_t n_tokens) const;
};

struct Session::Impl {
  std::shared_ptr<Engine::Impl> engine;
  LazyOptions lazy;
  SequenceCache cache;
  std::vector<int32_t>
      tokens;  // [cache.n_tokens() or more] given and generated; the last may not be computed yet
};

}  // namespace lazyfill
