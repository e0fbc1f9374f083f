// Groups of flags that several commands share, and what they have in common when they start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "lazyfill/engine.h"

namespace lazyfill::cli {

inline constexpr size_t kMostTokens = size_t{1}
                                      << 24;  // far above any context; keeps sums of token counts small

struct ModelFlags {
  std::string path;
  size_t n_threads = 0;
  size_t context_tokens = 0;
  size_t kv = 0;           // index into f16, q8_0
  size_t activations = 0;  // index into 16, 8
  bool quiet = false;
  void add_to(Flags& flags);
};

struct LazyFlags {
  LazyOptions options;
  void add_to(Flags& flags, bool with_schedule = true);
  LazyOptions resolve() const;  // after parse()

 private:
  size_t policy_ = 0;  // 0: the preset's; then the rows of the table
  size_t pooling_ = 1;
  bool keep_generated_ = false;
};

struct GenerateFlags {
  GenerateOptions options;
  // `default_tokens`: how long an answer is when -n is absent.
  void add_to(Flags& flags, size_t default_tokens, bool may_score = false);  // may_score: -n 0 is allowed

 private:
  void add_penalties_to(Flags& flags);
};

// What becomes of a text that is not valid UTF-8: an error, or U+FFFD in place of each ill-formed sequence.
enum class InvalidUtf8 { kRefuse, kReplace };

struct TextFlags {
  void add_to(Flags& flags);
  InvalidUtf8 invalid_utf8() const { return static_cast<InvalidUtf8>(invalid_utf8_); }

 private:
  size_t invalid_utf8_ = 0;
};

struct PromptFlags {
  std::optional<std::string> prompt;
  std::vector<std::string> files;  // "-": standard input
  TextFlags text;
  void add_to(Flags& flags);
  // Apart, because it may differ from prompt to prompt.
  static void add_special_to(Flags& flags, bool& special);
  bool given() const { return prompt.has_value() || !files.empty(); }
};

// What the model's chat template gets besides the messages.
struct TemplateFlags {
  std::string tools_file;
  std::string variables;
  void add_to(Flags& flags);
  // Tools and variables as JSON texts. Errors: an unreadable file, no JSON array, no JSON object.
  Result<ChatRequest> resolve(const TextFlags& flags) const;
};
// A file that holds the messages of a conversation, as JSON: an array, or what /save of `chat` writes. Gives
// the array.
Result<std::string> read_messages(const std::string& path, const TextFlags& flags);

// The instruction set that LAZYFILL_ISA names; empty: the best of this machine.
std::string wanted_isa();
// Where `calibrate` keeps presets.
std::string user_preset_folder();
// Where what need not be said twice is remembered.
std::string hints_folder();

// Where `pull` puts models, and the default model is.
std::string models_folder();

// The model file: as given, else the default model in the user's cache; an error says how to get one. Of
// hf:OWNER/REPO[:QUANT] the one in the cache, which is fetched first where it is missing.
Result<std::string> resolve_model_path(const std::string& given, bool quiet = false);
// The same without the network: where the file is or may be.
std::string likely_model_path(const std::string& given);

struct LoadedEngine {
  Engine engine;
  Executor executor;  // what computes its sessions
  double load_ms = 0;
};
Result<LoadedEngine> load_engine(const ModelFlags& flags);

// The context that a session of this model gets; an error when more is asked for than the model has.
Result<size_t> resolve_context(const ModelFlags& flags, const ModelInfo& info);
// One sentence with both counts and a way out when the prompt fills the whole context.
Result<void> check_prompt_fits(size_t n_tokens, size_t context_tokens, const ModelInfo& info);

// Runs `body`; memory that is not there becomes the exit code and the sentence of a failure.
template <class Body>
int guarded(const char* command, Body&& body);

// Exposed for guarded().
int report_exception(const char* command);

template <class Body>
int guarded(const char* command, Body&& body) {
  try {
    return body();
  } catch (...) {
    return report_exception(command);
  }
}

// A wrong schedule is wrong usage; everything else is a failure.
int report_schedule_error(std::string_view command, const Error& error);

}  // namespace lazyfill::cli
