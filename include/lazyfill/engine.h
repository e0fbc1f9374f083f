// lazyfill: the first token of a long prompt, sooner.
//
//   auto engine = lazyfill::Engine::load("model.gguf", {});
//   auto session = engine->start_session({});
//   auto tokens = engine->tokenize(text);
//   auto answer = session->generate(*tokens, {.max_tokens = 32}, {});
//
// An Engine is a model, its tokeniser and its chat template: immutable after load(), read by any number of
// threads. An Executor has threads and working memory, and computes one step at a time. A Session is one
// conversation: its columns and its Aux Cache. It is used by one thread at a time; sessions of one executor
// wait for each other's steps, those of several do not.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

struct EngineOptions {
  // Of loading, and of executors that do not say. 0: one a core, or as many as the system lets start; a
  // number that cannot be had is an error.
  size_t n_threads = 0;
  // Where the user's presets are (FINGERPRINT.json, FINGERPRINT.fast.json); empty: only those beside the
  // model and the shipped ones.
  std::string preset_folder;
  KvType kv = KvType::kAsComputed;  // of all sessions
  ActivationBits activation_bits = ActivationBits::k16;
  // Instruction set of the kernels: "reference", "avx2", "avx512" or "amx". Empty: the best but amx.
  std::string isa;
};

struct ExecutorOptions {
  size_t n_threads = 0;  // 0: as many as the engine was loaded with. Answers do not depend on it.
};

struct SessionOptions {
  size_t context_tokens = 0;  // 0: the model's. Of a stream what it holds is its length
  LazyOptions lazy;
  std::optional<StreamOptions> stream;  // not with policies by which columns leave, or the prompt
};

// Called from the thread that called generate().
struct Callbacks {
  // A generated token and the text that became complete with it (may be empty). Return false to stop.
  std::function<bool(int32_t token, std::string_view text)> on_token;
  // With log-probabilities: those of a token, called before on_token of the same one. An end token has
  // neither call.
  std::function<void(TokenLogprob chosen, std::span<const TokenLogprob> top)> on_logprobs;
  std::function<void(const Progress&)> on_progress;
  // The logits [n_vocab] that the next token is about to be chosen from.
  std::function<void(std::span<const float> logits)> on_logits;
  // Looked at between two blocks of rows; generate() then returns ErrorCode::kCancelled during prefill, and
  // what it has so far (FinishReason::kCancelled) during decode.
  std::stop_token stop;
};

class Executor;
class Session;

// Cheap to copy: all copies are the same model.
class Engine {
 public:
  // Checks the file and repacks the weights for this machine; rows of the embedding are read from it
  // later, so it stays open. Errors: no such file, not a GGUF, an
  // architecture, tokeniser or tensor type that is not supported (the sentence lists those that are).
  static Result<Engine> load(const std::string& path, const EngineOptions& options);
  struct Impl;  // opaque

  const ModelInfo& info() const;

  // parse_special: control tokens written in the text are taken as such; leave it off for text of strangers.
  // add_special: BOS where the model wants one.
  Result<std::vector<int32_t>> tokenize(std::string_view text, bool add_special = true,
                                        bool parse_special = false) const;
  // Of a text that stands behind others: no BOS, and no space in front of it.
  Result<std::vector<int32_t>> tokenize_part(std::string_view text) const;
  // Ids that no token has, negative ones too, are no text.
  std::string detokenize(std::span<const int32_t> ids, bool with_special = false) const;
  std::string piece(int32_t id) const;
  // Whether an answer ends with it: the end of a text, or of a turn.
  bool is_end(int32_t id) const;
  const FimTokens& fim_tokens() const;

  // The model's own chat template as its file has it, for_tools: the one for conversations with tools where
  // the file has another for them; empty: it has none.
  std::string chat_template(bool for_tools = false) const;
  // The text that the model's own chat template makes of a conversation, with tools, calls and their results
  // where it has them. Errors also where a text is no JSON, or not of the form it must have.
  Result<std::string> apply_chat_template(const ChatRequest& request) const;
  // The same with what the template itself wrote, and the token ids of a conversation. Control tokens are
  // taken as such where the template spells all of one; whoever tokenises the text alone cannot tell them
  // from what a message spells.
  Result<RenderedChat> render_chat(const ChatRequest& request) const;
  Result<std::vector<int32_t>> tokenize_chat(const RenderedChat& chat) const;
  Result<std::vector<int32_t>> tokenize_chat(const ChatRequest& request) const;

  // Checks a schedule against this model; the error lists the layers that can prune.
  Result<std::vector<ScheduleStage>> resolve_schedule(const LazyOptions& lazy, size_t n_prompt_tokens) const;

  // Whether answers can be guided so. The error is one sentence: the place where a pattern is wrong, or what
  // is not supported, by its name. What was found is kept for answers that are guided alike.
  Result<void> check_guide(const GuideOptions& guide) const;

  Result<Executor> start_executor(const ExecutorOptions& options) const;
  // A session with an executor of its own.
  Result<Session> start_session(const SessionOptions& options) const;

 private:
  friend class Executor;
  explicit Engine(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;  // executors and sessions keep it alive
};

class Executor {
 public:
  struct Impl;  // opaque
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;
  ~Executor();

  const Engine& engine() const;
  size_t n_threads() const;  // those that were started
  Result<Session> start_session(const SessionOptions& options) const;

  // [n] natural logarithms of the probability that the dense model gives each token after those before it; 0
  // for the first. What perplexity and self-information are made of. Errors as those of Session::generate.
  // With a stream that of the stream, of a text of any length.
  Result<std::vector<float>> token_logprobs(std::span<const int32_t> tokens, const std::stop_token& stop,
                                            const std::optional<StreamOptions>& stream = std::nullopt) const;

 private:
  friend class Engine;
  friend class Scheduler;
  explicit Executor(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // sessions keep it alive
};

// Whose a token is: what is given is a prompt, prefilled by the schedule of its length; what was generated is
// the answer to it.
enum class Origin { kGiven, kGenerated };

class Session {
 public:
  struct Impl;  // opaque
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // Appends new tokens and generates: append(), step(), and then sample() and step() by turns. On a session
  // that already holds tokens this is the next chat turn or the second question on a document: only the new
  // tokens, and the old ones that they need and that were dropped before, are computed. The generated tokens
  // become part of the session too. On an error the session is as it was before the call; a stream that has
  // forgotten tokens since is as it was before the step that failed, without what is not computed.
  Result<Generation> generate(std::span<const int32_t> new_tokens, const GenerateOptions& options,
                              const Callbacks& callbacks);

  // --- the same in small steps; on an error each leaves the session as it was ---

  // Makes the tokens these: keeps what they begin with, forgets the rest, appends what is new. The last token
  // is always computed again, for its logits. Returns how many tokens were kept.
  Result<size_t> sync(std::span<const int32_t> tokens);
  // Tokens behind those that there are; step() computes them. Errors: no such id, more than the context
  // holds.
  Result<void> append(std::span<const int32_t> tokens, Origin origin = Origin::kGiven);
  // Computes all tokens that are not computed yet; of the callbacks on_progress and stop are looked at.
  Result<void> step(const Callbacks& callbacks = {});
  // [n_vocab] of the last token; empty: it is not computed yet.
  std::span<const float> logits() const;
  // The same for those who keep them: later steps write elsewhere. Null: it is not computed yet.
  std::shared_ptr<const std::vector<float>> shared_logits() const;
  // Draws a token from the logits, and appends it.
  Result<int32_t> sample(const SamplingOptions& options);

  // The tokens so far: given and generated. Of a stream the newest ones, at least its window.
  const std::vector<int32_t>& tokens() const;
  // How many there were so far.
  size_t n_tokens() const;
  // Forgets all tokens from position n_tokens on. Error: a stream has forgotten what comes before it. It can
  // go back to 0.
  Result<void> rewind(size_t n_tokens);
  // Computed in the next calls by another schedule or policy. Error: columns have left for good (snapkv), and
  // the policy is one by which they do not.
  Result<void> set_lazy(const LazyOptions& lazy);

 private:
  friend class Executor;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lazyfill
