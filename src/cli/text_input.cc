#include "cli/text_input.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "cli/text.h"

namespace lazyfill::cli {
namespace {

// Long enough for a program that starts at the other end of a pipe, short enough for whoever forgot to close
// it.
constexpr int kWaitForTextMs = 3000;

Result<std::string> read_stream(std::FILE* stream, const std::string& what) {
  std::string text;
  char buffer[1 << 16];
  for (size_t n = std::fread(buffer, 1, sizeof buffer, stream); n > 0;
       n = std::fread(buffer, 1, sizeof buffer, stream)) {
    text.append(buffer, n);
  }
  if (std::ferror(stream) != 0)
    return fail(ErrorCode::kNotFound, "cannot read " + what + ": " + std::strerror(errno));
  return text;
}

Result<std::string> read_bytes(const std::string& path, const std::string& name) {
  if (path == "-") return read_stream(stdin, "standard input");
  std::FILE* stream = std::fopen(path.c_str(), "rb");
  if (stream == nullptr)
    return fail(ErrorCode::kNotFound, "cannot open " + name + ": " + std::strerror(errno));
  auto text = read_stream(stream, name);
  std::fclose(stream);
  return text;
}

void append_part(std::string& text, const std::string& part) {
  if (!text.empty() && !part.empty()) text += text.back() == '\n' ? "\n" : "\n\n";
  text += part;
}

bool comes_within(int fd, int wait_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(wait_ms);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    const int n = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (n < 0 && errno == EINTR) continue;
    return n > 0;
  }
}

// What is on standard input beside -p; empty: nothing.
Result<std::string> document_beside(const TextFlags& flags, const Terminal& terminal) {
  switch (document_on_standard_input(STDIN_FILENO, kWaitForTextMs)) {
    case OnStandardInput::kNothing:
      return std::string();
    case OnStandardInput::kTimedOut:
      terminal.warn(
          "standard input is open, but nothing came from it within 3 seconds: going on without it; -f - "
          "waits "
          "for it, < /dev/null saves the time");
      return std::string();
    case OnStandardInput::kText:
      break;
  }
  auto text = read_text_file("-", flags);
  if (text && !text->empty())
    terminal.note("read " + bytes_text(text->size()) + " from standard input, to which -p is added");
  return text;
}

}  // namespace

bool is_standard_input(const std::string& path) {
  return path == "-" || path == "/dev/stdin" || path == "/dev/fd/0" || path == "/proc/self/fd/0";
}

std::string standard_input_twice(const std::vector<std::string>& paths) {
  if (std::count_if(paths.begin(), paths.end(), is_standard_input) < 2) return {};
  return "standard input can be read once: name a file for one of the flags that take it";
}

OnStandardInput document_on_standard_input(int fd, int wait_ms) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return OnStandardInput::kNothing;
  if (S_ISREG(info.st_mode))
    return lseek(fd, 0, SEEK_CUR) == 0 && info.st_size > 0 ? OnStandardInput::kText
                                                           : OnStandardInput::kNothing;
  if (!S_ISFIFO(info.st_mode) && !S_ISSOCK(info.st_mode)) return OnStandardInput::kNothing;
  return comes_within(fd, wait_ms) ? OnStandardInput::kText : OnStandardInput::kTimedOut;
}

Result<std::string> checked_text(std::string text, const std::string& what, const TextFlags& flags) {
  const size_t invalid = find_invalid_utf8(text);
  if (invalid == std::string::npos) return text;
  if (flags.invalid_utf8() == InvalidUtf8::kReplace) return valid_utf8(text);
  return fail(ErrorCode::kInvalidFile,
              what + " is not valid UTF-8 at byte " + grouped(invalid) +
                  "; convert it first, for example with iconv, or give --invalid-utf8 replace");
}

void drop_byte_order_mark(std::string& text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
}

Result<std::string> read_text_file(const std::string& path, const TextFlags& flags) {
  const std::string name = path == "-" ? "the text on standard input" : quote(path);
  auto text = read_bytes(path, name);
  if (!text) return text;
  text = checked_text(std::move(*text), name, flags);  // offsets count the mark too
  if (text) drop_byte_order_mark(*text);
  return text;
}

Result<std::string> read_text_files(const std::vector<std::string>& paths, const TextFlags& flags) {
  if (std::string sentence = standard_input_twice(paths); !sentence.empty())
    return fail(ErrorCode::kInvalidArgument, std::move(sentence));
  std::string text;
  for (const std::string& path : paths) {
    auto content = read_text_file(path, flags);
    if (!content) return content;
    append_part(text, *content);
  }
  return text;
}

Result<std::string> read_prompt(const PromptFlags& flags, const Terminal& terminal, bool use_standard_input) {
  if (!flags.given() && (is_terminal(Stream::kInput) || !use_standard_input))
    return fail(ErrorCode::kInvalidArgument, "no prompt: give -p TEXT, -f FILE, or text on standard input");
  if (!flags.given() &&
      document_on_standard_input(STDIN_FILENO, kWaitForTextMs) == OnStandardInput::kTimedOut)
    terminal.warn("still waiting for the prompt on standard input; -p TEXT and -f FILE give one too");
  auto text = !flags.files.empty() ? read_text_files(flags.files, flags.text)
              : !flags.prompt      ? read_text_file("-", flags.text)
              : use_standard_input ? document_beside(flags.text, terminal)
                                   : Result<std::string>(std::string());
  if (!text) return text;
  if (flags.prompt) {
    auto prompt = checked_text(*flags.prompt, "the text of -p", flags.text);
    if (!prompt) return prompt;
    append_part(*text, *prompt);
  }
  if (text->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "the prompt is empty: give -p TEXT, -f FILE, or text on standard input");
  }
  return text;
}

}  // namespace lazyfill::cli
