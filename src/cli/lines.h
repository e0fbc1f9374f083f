// The lines of --jsonl: what each asks, and the records that they get. A line that fails gets a record that
// says why, and costs the others nothing.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "cli/output_file.h"
#include "cli/run_flags.h"
#include "cli/runner.h"

namespace lazyfill::cli {

struct Line {
  size_t number = 0;
  std::string id;  // JSON, or empty
  PromptLine asked;
  PromptSettings settings;
  // Why nothing can be asked, and where in the line; 0: not in the text.
  std::optional<Error> fault;
  size_t column = 0;
};

using LineAnswers = Result<std::vector<Runner::Answer>>;

class LineReader {
 public:
  LineReader(std::istream& input, const RunFlags& flags, const std::vector<std::string>& args)
      : input_(input), flags_(flags), args_(args) {}

  // The next line that is not blank; empty at the end.
  std::optional<Line> next();
  // Once there is none: whether all could be read, and there were some.
  Result<void> at_end() const;

 private:
  Line read(std::string text) const;

  std::istream& input_;
  const RunFlags& flags_;
  const std::vector<std::string>& args_;
  size_t number_ = 0;
  size_t n_lines_ = 0;
};

class LineWriter {
 public:
  LineWriter(const Runner& runner, const RunFlags& flags, OutputFile& output)
      : runner_(runner), flags_(flags), output_(output) {}

  // The records of a line. An error ends the run: the file is full, or everything was stopped.
  Result<void> write(const Line& line, const LineAnswers& answers);
  bool has_failed() const { return has_failed_; }  // a line
  // How much was answered, and in which time: by the clock, and of all cores together.
  std::string summary(double seconds, double cpu_seconds) const;
  Error located(const Line& line, const Error& error, size_t column) const;

 private:
  Result<void> refuse(const Line& line, const Error& error, size_t column);

  const Runner& runner_;
  const RunFlags& flags_;
  OutputFile& output_;
  bool has_failed_ = false;
  size_t n_answers_ = 0;
  size_t n_prompt_tokens_ = 0;
  size_t n_generated_tokens_ = 0;
};

// What a line without fault asks, answered by itself.
LineAnswers answer_alone(Runner& runner, const Line& line);

}  // namespace lazyfill::cli
