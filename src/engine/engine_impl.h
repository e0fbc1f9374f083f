// What stands behind the public Engine and Executor.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/presets.h"
#include "engine/step.h"
#include "gguf/file.h"
#include "lazyfill/engine.h"
#include "model/model.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill {

struct Engine::Impl {
  explicit Impl(gguf::File open_file) : file(std::move(open_file)) {}

  gguf::File file;
  Model model;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string chat_template_error;  // why there is none
  // What some files have for conversations with tools, beside the other.
  std::optional<ChatTemplate> tool_template;
  std::string tool_template_error;  // why there is none; empty where the file has none
  ModelInfo info;
  ModelPresets presets;
  KvType kv = KvType::kAsComputed;
  size_t n_threads = 0;

  Result<ResolvedLazy> resolve(const LazyOptions& lazy, size_t n_tokens) const;
  // Errors: an id that the vocabulary does not have.
  Result<void> check_tokens(std::span<const int32_t> tokens) const;
};

struct Executor::Impl {
  Impl(Engine shared_engine, std::shared_ptr<const Engine::Impl> of_engine, size_t n_threads)
      : handle(std::move(shared_engine)), engine(std::move(of_engine)), workspace(n_threads) {}

  // One step at a time: others wait.
  bool advance(Step& step, FunctionRef<bool(const Progress&)> keep_going) {
    const std::scoped_lock lock(mutex);
    return step.advance(workspace, keep_going);
  }

  Engine handle;
  std::shared_ptr<const Engine::Impl> engine;
  std::mutex mutex;  // of the workspace
  Workspace workspace;
};

}  // namespace lazyfill
