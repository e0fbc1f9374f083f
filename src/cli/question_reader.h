// What a person types at a terminal, or a pipe brings: one text after another.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lazyfill::cli {

class QuestionReader {
 public:
  virtual ~QuestionReader() = default;
  // Without the end of the line; it may hold several lines that were pasted together. Empty: there is no
  // more.
  virtual std::optional<std::string> next(const std::string& prompt) = 0;
  // Kept for the arrow keys, and for the next time the program runs.
  virtual void remember(const std::string& /*text*/) {}
};

struct QuestionReaderOptions {
  std::vector<std::string> commands;  // completed by Tab at the beginning of a text
  std::string history_file;           // empty: none
};
// Lines of a pipe or a file; at a terminal with editing, where the build has libedit and the terminal knows
// escape codes, else with Backspace and Ctrl-U alone. No line is too long.
std::unique_ptr<QuestionReader> make_question_reader(QuestionReaderOptions options);
// With editing; nullptr where the build has none.
std::unique_ptr<QuestionReader> make_line_editor(QuestionReaderOptions options);

// One question: a line; at a terminal also several, from """ to """ or while lines end with a backslash.
std::optional<std::string> read_question(QuestionReader& reader, bool at_terminal);

// $XDG_STATE_HOME/lazyfill/chat_history; empty: there is no home.
std::string default_history_file();
// One JSON string a line, oldest first. What is no such line is left out.
std::vector<std::string> read_history(const std::string& path, size_t most);
// The folder is made. Whoever cannot write it goes without: no conversation fails for that.
void append_history(const std::string& path, const std::string& text);

// Exposed for tests: what typed bytes make of a line, without a terminal.
class TypedLine {
 public:
  enum class After { kGoesOn, kLine, kEnd };
  After take(char byte, std::string& echo);  // echo: what is to be shown for it
  std::string take_line();                   // after kLine or kEnd

 private:
  After control(char byte, std::string& echo);
  bool take_escape(char byte);
  void erase_last(std::string& echo);

  std::string line_;
  std::string escape_;  // an escape sequence that has begun
  bool pasting_ = false;
};

}  // namespace lazyfill::cli
