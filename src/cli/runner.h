// What `run` does with one prompt, continuation or document: the answer and its record.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/fidelity.h"
#include "cli/guide_flags.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/prompt_line.h"
#include "cli/terminal.h"
#include "conversation/infill.h"
#include "conversation/transcript.h"
#include "lazyfill/scheduler.h"

namespace lazyfill::cli {

// What may differ from prompt to prompt.
struct PromptSettings {
  LazyFlags lazy;
  GenerateFlags generate;
  GuideFlags guide;
  std::optional<StreamOptions> stream;
  size_t n_fidelity = 0;
  bool no_answer = false;
  float compress = 1;
  size_t compress_by = 0;
  bool special = false;
  bool chat = false;
  bool whole_conversation = false;  // a prompt is the JSON array of all messages, not the user's message
  std::string system;
  std::optional<InfillRequest> infill;  // in place of a prompt

  void add_to(Flags& flags);
  // What these flags cannot mean together, as a sentence; empty: nothing.
  std::string contradiction() const;
  // Of an answer. Errors: a file of the guide cannot be read.
  Result<GenerateOptions> options() const;
};

class Runner {
 public:
  Runner(LoadedEngine loaded, size_t context_tokens, bool quiet, const Interrupt& interrupt);

  const Terminal& terminal() const { return terminal_; }
  const Engine& engine() const { return loaded_.engine; }
  const Executor& executor() const { return loaded_.executor; }
  size_t context_tokens() const { return context_tokens_; }
  // Of a prompt and its answer.
  size_t most_tokens(const PromptSettings& settings) const {
    return settings.stream ? SIZE_MAX : context_tokens_;
  }
  // A line where the answer was cut by -n (a note) or by the context (a warning).
  void tell_cut(const PromptSettings& settings, const Generation& generation) const;
  // Records get the dense model's logarithm of each prompt token's probability.
  void with_prompt_logprobs() { prompt_logprobs_ = true; }
  // What chat templates get beside the messages: tools and variables.
  void with_template(ChatRequest request) { request_ = std::move(request); }

  struct Answer {
    Generation generation;
    nlohmann::ordered_json extra;  // fields of the record beside those of the generation
  };
  // stream: the answer goes to standard output as it comes. with_record: what only the record shows is
  // computed too. A stopped prefill is an error (kCancelled), a stopped decode a short answer.
  Result<Answer> answer(const PromptSettings& settings, const std::string& prompt, bool stream,
                        bool with_record);
  // What -n 0 asks for: how likely the dense model finds the prompt. stream: as text on standard output.
  Result<Answer> score_prompt(const PromptSettings& settings, const std::string& prompt, bool stream);
  Result<Answer> score_continuation(const PromptSettings& settings, const std::string& prompt,
                                    const std::string& continuation);
  // One a question; they lie in one session, each with the answers before it.
  Result<std::vector<Answer>> answer_questions(const PromptSettings& settings, const PromptLine& line);

  // A prompt or conversation that wants no more than an answer can go to a scheduler.
  bool can_be_scheduled(const PromptSettings& settings, const PromptLine& line) const;
  Result<Request> request_of(const PromptSettings& settings, const PromptLine& line) const;

  // id: JSON, or empty.
  Result<std::string> record_line(const Answer& answer, const std::string& id) const;

 private:
  // A prompt after --compress.
  struct Prompt {
    std::vector<int32_t> tokens;
    std::vector<uint32_t> kept;  // positions in the prompt as given; empty: not compressed
    double compress_ms = 0;
    std::optional<InfillPrompt> infill;
  };
  // The dense model's answers to the latest prompt or document: lines that follow one another often ask the
  // same of several policies.
  struct DenseAnswers {
    std::string key;
    std::vector<DenseReference> turns;
  };

  Result<std::vector<int32_t>> tokenize(const PromptSettings& settings, const std::string& prompt) const;
  Result<Prompt> prepared(const PromptSettings& settings, const std::string& prompt) const;
  Transcript transcript_of(const PromptSettings& settings, const PromptLine& line) const;
  Result<Generation> generate(const PromptSettings& settings, const Prompt& prompt,
                              const GenerateOptions& options, const Callbacks& callbacks) const;
  static nlohmann::ordered_json compression_json(const PromptSettings& settings, const Prompt& prompt);
  Result<Fidelity> compare(const PromptSettings& settings, const std::vector<int32_t>& prompt);
  Result<std::vector<Fidelity>> compare_questions(const PromptSettings& settings, const PromptLine& line);
  Result<void> ask_dense(const PromptSettings& settings, const PromptLine& line);

  LoadedEngine loaded_;
  size_t context_tokens_;
  const Interrupt& interrupt_;
  Terminal terminal_;
  bool prompt_logprobs_ = false;
  ChatRequest request_;
  DenseAnswers dense_;
};

Error stopped(size_t n_tokens);

}  // namespace lazyfill::cli
