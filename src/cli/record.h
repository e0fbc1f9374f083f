// The JSON record of a generation, and the file it is written to.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill::cli {

// Version 1 of the record; docs/record.md describes it field by field.
nlohmann::ordered_json make_record(const Generation& generation, double load_ms);
nlohmann::ordered_json lazy_json(const Generation& generation);  // null after a dense prefill

// The largest resident set so far; 0 where the system does not tell.
uint64_t peak_rss_bytes();

double prefill_tokens_per_s(const Generation& generation);
double decode_tokens_per_s(const Generation& generation);  // 0 with fewer than two tokens

// Opened before the work begins, so that a path that cannot be written costs nobody a prefill. A file that
// was there stays untouched until the first write; one that was created and never written is removed again.
class OutputFile {
 public:
  static Result<OutputFile> open(const std::string& path);  // "-": standard output
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  // Reaches the file before it returns: what is finished is kept whatever comes later.
  Result<void> write(std::string_view text);

 private:
  OutputFile() = default;
  std::string path_;
  int fd_ = -1;
  bool created_ = false;
  bool written_ = false;
};

// One line without control characters; invalid UTF-8 is replaced.
std::string json_line(const nlohmann::ordered_json& value);

}  // namespace lazyfill::cli
