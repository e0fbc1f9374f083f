// What stands behind the public Engine and Executor.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "decoding/draft_memory.h"
#include "decoding/guide.h"
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
  static Result<std::shared_ptr<const Impl>> load(const std::string& path, const EngineOptions& options);

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
  std::shared_ptr<const GuideVocabulary> guide_vocabulary;
  mutable GuideCache guides;

  SequenceCache::Shape cache_shape(size_t capacity_tokens) const;
  Result<ResolvedLazy> resolve(const LazyOptions& lazy, size_t n_tokens) const;
  Result<RenderedChat> render(const ChatRequest& request) const;
  // The guide of an answer that has one. Errors: it cannot be used, or not together with the other options.
  Result<std::shared_ptr<Guide>> guide(const GenerateOptions& options) const;
  // Errors: an id that no token has.
  Result<void> check_tokens(std::span<const int32_t> tokens) const;
};

struct Executor::Impl {
  Impl(Engine shared_engine, std::shared_ptr<const Engine::Impl> of_engine, size_t n_threads)
      : handle(std::move(shared_engine)),
        engine(std::move(of_engine)),
        drafts(std::make_shared<DraftMemory>(engine->info.n_tokens)),
        workspace(n_threads) {}

  Result<std::vector<float>> token_logprobs(std::span<const int32_t> tokens, const std::stop_token& stop,
                                            const std::optional<StreamOptions>& stream);

  // One step at a time: others wait.
  bool advance(Step& step, FunctionRef<bool(const Progress&)> keep_going) {
    const std::scoped_lock lock(mutex);
    return step.advance(workspace, keep_going);
  }
  // A step of so many rows that goes on answers: what it takes is noted, for drafts.
  bool decode(Step& step, size_t n_rows, FunctionRef<bool(const Progress&)> keep_going);

  Engine handle;
  std::shared_ptr<const Engine::Impl> engine;
  const std::shared_ptr<DraftMemory> drafts;
  std::mutex mutex;  // of the workspace
  Workspace workspace;
};

// Who names a number of threads gets it or an error; who does not, what there is.
Result<void> check_threads(size_t n_asked, size_t n_started);

}  // namespace lazyfill
