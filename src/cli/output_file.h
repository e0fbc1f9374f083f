// The files that results are written to, and those that they must not be.
#pragma once

#include <sys/stat.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

// All that a command reads. A result must not take the place of one of these, whatever name leads to it.
class InputFiles {
 public:
  InputFiles() = default;
  InputFiles(std::initializer_list<std::string> paths) : paths_(paths) {}

  // "-" is standard input, and empty is no file.
  void add(const std::string& path);
  void add(const std::vector<std::string>& paths);
  // The model that -m names, with all its parts.
  void add_model(const std::string& given);
  // What is looked up for that model: the presets beside it and the user's.
  void add_presets(const std::string& given);

  // The name of the input that `output` is too; empty: of none.
  std::string same_as(const std::string& output) const;

 private:
  std::vector<std::string> paths_;
};

// Whether both names lead to one file, links followed; also where it does not exist yet.
bool is_same_file(const std::string& a, const std::string& b);

// Opened before the work begins, so that a path that cannot be written costs nobody a prefill. What was there
// stays untouched until the first result is whole: it is written to a file beside, which then takes the name
// (links are followed, so that a link stays one). Further results are appended as they come, so that an
// interrupted run leaves those that are finished. Pipes, devices, files that the shell has open (/dev/stdout,
// /dev/fd/3), and files in a folder where nothing can be made are written in place.
class OutputFile {
 public:
  static Result<OutputFile> open(const std::string& path, const InputFiles& inputs);  // "-": standard output
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  // Reaches the file before it returns: what is finished is kept whatever comes later. A result that cannot
  // be written whole is taken back where that is possible.
  Result<void> write(std::string_view text);
  // By whatever name.
  bool is_standard_output() const { return is_standard_output_; }

 private:
  enum class Way { kBeside, kInPlace, kAppend };  // of the next result

  OutputFile() = default;
  Result<void> failure() const;  // of the last call to the system
  Result<void> open_existing(const struct stat& status);
  bool can_make_files() const;
  Result<void> write_beside(std::string_view text);
  Result<void> append(std::string_view text) const;

  std::string path_;    // as given
  std::string target_;  // links followed
  Way way_ = Way::kAppend;
  int fd_ = -1;  // -1: there is no file yet
  bool is_own_ = false;
  bool is_standard_output_ = false;
};

}  // namespace lazyfill::cli
