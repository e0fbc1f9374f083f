// What every API's request becomes, and what is told of its answer on the way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "conversation/answer_parser.h"
#include "conversation/call_grammar.h"
#include "conversation/infill.h"
#include "lazyfill/types.h"
#include "server/api/error.h"

namespace lazyfill::server {

// Which tools may be called, and whether one must be.
struct ToolRules {
  struct Tool {
    std::string name;
    Json parameters;
    bool is_strict = false;
  };
  CallRules::Need need = CallRules::Need::kMayCall;
  bool has_one_call = false;  // at most
  bool is_narrowed = false;   // the model was shown more of them
  std::vector<Tool> tools;    // that may be called

  // An answer that nothing guides may break them.
  bool is_bound() const {
    return need != CallRules::Need::kMayCall || is_narrowed ||
           std::any_of(tools.begin(), tools.end(), [](const Tool& tool) { return tool.is_strict; });
  }
};

struct AnswerRequest {
  // One of the four is the prompt.
  std::optional<ChatRequest> chat;
  std::optional<std::string> text;
  std::vector<int32_t> tokens;
  std::optional<InfillRequest> infill;
  bool parse_special = false;   // control tokens that the text spells are taken as such
  size_t n_dense_messages = 0;  // of chat: system messages at the beginning, computed dense with the tools

  std::string model;  // as the client called it; answers repeat it
  GenerateOptions options;
  int64_t max_predict_ms = 0;   // what the answer may take from its first token on; 0: any time
  bool has_max_tokens = false;  // else the server's default
  LazyOptions lazy;
  bool cache_prompt = true;
  std::string cache_salt;
  int priority = 0;
  size_t n_choices = 1;

  bool splits_answer = false;  // into reasoning, content and calls
  bool has_tools = false;
  ToolRules tool_rules;
  bool tools_in_text = false;  // the template knows no tools, so a system message describes them

  // Of tools that stand in a namespace (Responses): how the model knows them -> {"namespace", "name"}.
  Json namespaces = Json::object();

  bool streams = false;
  bool with_usage = false;     // a stream ends with its counts
  bool with_progress = false;  // a stream tells of the prefill
  bool with_kept = false;  // the report holds which tokens were kept and how the prompt was cut into tokens
  bool echo = false;       // of text: the prompt stands before the answer
  bool with_logprobs = false;
  std::vector<std::string> answer_fields;  // of /infill: those that the client wants; empty: all
  Json echoed = Json::object();            // what the answer's object repeats of the request (Responses)
};

// A generated token with its probability and its rivals.
struct TokenChoice {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

struct PrefillProgress {
  size_t n_total = 0;      // prompt tokens
  size_t n_cached = 0;     // taken from what was computed before
  size_t n_processed = 0;  // by the work done, cached ones included
  double time_ms = 0;
  size_t layer = 0;
  size_t n_layers = 0;
  size_t rows = 0;  // tokens that are left at this layer
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON
};

// One answer, as far as it has come.
struct Choice {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> calls;
  std::vector<TokenChoice> logprobs;
  size_t n_tokens = 0;
  size_t n_reasoning_tokens = 0;
  std::optional<Generation> generation;  // at the end

  bool calls_tools() const { return !calls.empty(); }
};

struct Answered {
  std::string id;  // random; each API puts its own word before it
  int64_t created_s = 0;
  int64_t ended_s = 0;
  size_t n_prompt_tokens = 0;
  size_t n_cached_tokens = 0;
  std::vector<Choice> choices;

  size_t n_completion_tokens() const;
  size_t n_reasoning_tokens() const;
};

// How one API writes an answer, as it comes or as a whole. Called from any thread, but never from two at
// once.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // The request is accepted and nothing is computed yet.
  virtual void begin(const Answered& /*answered*/) {}
  // Its turn has come: answered.n_cached_tokens is known now.
  virtual void start(const Answered& /*answered*/) {}
  virtual void progress(const Answered& /*answered*/, const PrefillProgress& /*progress*/) {}
  // A part of a choice, which already stands in it; `logprobs` are those of the tokens since the part before.
  virtual void part(const Answered& /*answered*/, size_t /*choice*/, const AnswerPart& /*part*/,
                    const std::vector<TokenChoice>& /*logprobs*/) {}
  virtual void end_choice(const Answered& /*answered*/, size_t /*choice*/) {}
  virtual void finish(const Answered& answered) = 0;
  virtual void fail(const ApiError& error) = 0;
  virtual void keep_alive() {}
};

}  // namespace lazyfill::server
