// The flags of `run`, which a line of --jsonl may add to.
#pragma once

#include <string>
#include <vector>

#include "cli/infill_flags.h"
#include "cli/options.h"
#include "cli/prompt_line.h"
#include "cli/runner.h"
#include "cli/text_input.h"
#include "lazyfill/scheduler.h"

namespace lazyfill::cli {

// Many prompts at once, and how.
struct BatchFlags {
  size_t n = 0;  // 0: one after another
  size_t form = 0;
  size_t queue = 64;
  size_t turn_ms = 50;
  size_t kv_memory_mib = 0;
  bool prefix_cache = false;
  std::string cache_salt;
  std::string state;

  void add_to(Flags& flags);
  bool pads() const;
  bool sorts() const;
  SchedulerOptions options(size_t context_tokens) const;
};

struct RunFlags {
  ModelFlags model;
  PromptFlags prompt;
  PromptSettings settings;
  InfillFlags infill;
  bool perplexity = false;
  std::string messages;
  TemplateFlags chat_template;
  std::string jsonl;
  std::string json;
  BatchFlags batch;

  void add_to(Flags& flags);
};

inline constexpr char kRun[] = "run";
Flags run_flags();

// The settings of a line: the command line's, then its own.
Result<PromptSettings> settings_of(const PromptLine& line, const RunFlags& command,
                                   const std::vector<std::string>& args);

}  // namespace lazyfill::cli
