// Calls of tools as the models of each family write them, a character at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "conversation/answer_parser.h"

namespace lazyfill {

struct ToolCall {
  std::string name;
  std::string arguments;  // a valid JSON object
};

// Which parameters of which tools are texts, whatever they look like.
class TextParameters {
 public:
  explicit TextParameters(const std::string& tools_json);
  bool contain(const std::string& tool, const std::string& parameter) const;

 private:
  std::unordered_map<std::string, std::unordered_set<std::string>> of_tools_;
};

// Reads what follows a mark, such as "<tool_call>", for as long as it can be one or more calls.
class CallReader {
 public:
  enum class State {
    kMore,
    kCalls,   // calls() are whole; of the characters so far, the first used() belong to them
    kNoCall,  // it only looked like one
  };
  virtual ~CallReader() = default;
  State push(char c) {
    ++n_read_;
    return read(c);
  }
  // The answer ends here; not kMore.
  virtual State finish() = 0;

  const std::vector<ToolCall>& calls() const { return calls_; }
  size_t used() const { return used_; }

 protected:
  virtual State read(char c) = 0;
  size_t n_read() const { return n_read_; }
  State calls_so_far() const { return calls_.empty() ? State::kNoCall : State::kCalls; }

  std::vector<ToolCall> calls_;
  size_t used_ = 0;

 private:
  size_t n_read_ = 0;
};

// What calls begin with.
std::vector<std::string_view> call_marks(ToolSyntax syntax);
// What follows one of them. The parameters outlive the reader.
std::unique_ptr<CallReader> read_calls(std::string_view mark, const TextParameters& parameters);
// Llama 3's without a mark, which are an answer from its first brace to its end.
std::unique_ptr<CallReader> read_bare_calls();
std::unique_ptr<CallReader> read_tagged_calls();  // and after their mark

// --- for the readers ---

// Blanks, and then one of some words, of which none begins another.
class WordReader {
 public:
  enum class State { kMore, kFound, kOther };
  explicit WordReader(std::vector<std::string_view> words) : words_(std::move(words)) {}
  State push(char c);
  const std::string& word() const { return word_; }

 private:
  std::vector<std::string_view> words_;
  std::string word_;
};

bool is_blank(char c);
bool is_of_name(char c);  // of a tool
// Adds the call that a valid JSON object is, or the calls that an array of them is; false: it is no call.
// needs_arguments: an object without is none.
bool add_json_calls(std::string_view json, bool needs_arguments, std::vector<ToolCall>& calls);
// <function=name><parameter=x>value</parameter></function>, without the first has_read.
std::unique_ptr<CallReader> read_marked_up_call(std::string_view has_read, const TextParameters& parameters);

}  // namespace lazyfill
