#include "cli/question_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/terminal.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

class StreamReader : public QuestionReader {
 public:
  std::optional<std::string> next(const std::string& /*prompt*/) override {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
  }
};

// Terminals give whole lines of 4,095 characters at most and drop what is longer, so this takes every
// character as it is typed and does by itself what the terminal would have done.
class PlainReader : public QuestionReader {
 public:
  std::optional<std::string> next(const std::string& prompt) override {
    const Raw raw;  // before the prompt: who sees that may begin to type
    std::fputs(prompt.c_str(), stderr);
    while (true) {
      while (at_ < pending_.size()) {
        std::string echo;
        const TypedLine::After after = typed_.take(pending_[at_++], echo);
        show(echo);
        if (after == TypedLine::After::kEnd) return std::nullopt;
        if (after == TypedLine::After::kLine) return typed_.take_line();
      }
      char buffer[4096];
      const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        std::string line = typed_.take_line();
        return line.empty() ? std::nullopt : std::optional(std::move(line));
      }
      pending_.assign(buffer, static_cast<size_t>(n));
      at_ = 0;
    }
  }

 private:
  class Raw {
   public:
    Raw() {
      if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      raw.c_cc[VMIN] = 1;
      raw.c_cc[VTIME] = 0;
      changed_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
    }
    ~Raw() {
      if (changed_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
    }
    Raw(const Raw&) = delete;
    Raw& operator=(const Raw&) = delete;

   private:
    termios before_{};
    bool changed_ = false;
  };

  static void show(const std::string& echo) {
    if (!echo.empty()) std::fwrite(echo.data(), 1, echo.size(), stderr);
  }

  TypedLine typed_;
  std::string pending_;  // read and not yet taken
  size_t at_ = 0;
};

bool is_continuation(char byte) {
  return (static_cast<uint8_t>(byte) & 0xC0) == 0x80;
}

}  // namespace

TypedLine::After TypedLine::take(char byte, std::string& echo) {
  if (take_escape(byte)) return After::kGoesOn;
  if (pasting_ && (byte == '\r' || byte == '\n')) {
    line_ += '\n';
    echo = "\n";
    return After::kGoesOn;
  }
  const auto code = static_cast<uint8_t>(byte);
  if (code < 0x20 || code == 0x7F) return control(byte, echo);
  line_ += byte;
  echo = byte;
  return After::kGoesOn;
}

TypedLine::After TypedLine::control(char byte, std::string& echo) {
  constexpr char kCtrlD = 0x04;
  constexpr char kCtrlU = 0x15;
  switch (byte) {
    case '\r':
    case '\n':
      echo = "\n";
      return After::kLine;
    case kCtrlD:
      return line_.empty() ? After::kEnd : After::kGoesOn;
    case '\b':
    case 0x7F:
      erase_last(echo);
      return After::kGoesOn;
    case kCtrlU:
      while (!line_.empty() && line_.back() != '\n') erase_last(echo);
      return After::kGoesOn;
    case '\t':
      line_ += byte;
      echo = byte;
      return After::kGoesOn;
    default:
      return After::kGoesOn;
  }
}

// Of all sequences only those around a paste mean something.
bool TypedLine::take_escape(char byte) {
  constexpr char kEscape = 0x1B;
  if (escape_.empty()) {
    if (byte == kEscape) escape_ = byte;
    return byte == kEscape;
  }
  escape_ += byte;
  if (escape_.size() == 2) {
    if (byte != '[' && byte != 'O') escape_.clear();
    return true;
  }
  if (byte < 0x40 || byte > 0x7E) return true;  // not its last character
  if (escape_ == "\033[200~") pasting_ = true;
  if (escape_ == "\033[201~") pasting_ = false;
  escape_.clear();
  return true;
}

void TypedLine::erase_last(std::string& echo) {
  if (line_.empty() || line_.back() == '\n') return;
  while (!line_.empty() && is_continuation(line_.back())) line_.pop_back();
  if (!line_.empty()) line_.pop_back();
  echo += "\b \b";
}

std::string TypedLine::take_line() {
  while (!line_.empty() && line_.back() == '\n') line_.pop_back();
  return std::exchange(line_, {});
}

std::unique_ptr<QuestionReader> make_question_reader(QuestionReaderOptions options) {
  if (!is_terminal(Stream::kInput)) return std::make_unique<StreamReader>();
  if (knows_escapes(Stream::kError)) {
    if (auto editor = make_line_editor(std::move(options))) return editor;
  }
  return std::make_unique<PlainReader>();
}

std::optional<std::string> read_question(QuestionReader& reader, bool at_terminal) {
  constexpr std::string_view kQuotes = "\"\"\"";
  constexpr char kMore[] = ". ";
  auto text = reader.next("> ");
  if (!text || !at_terminal) return text;
  const bool quoted = text->starts_with(kQuotes);
  if (quoted) {
    text->erase(0, kQuotes.size());
    while (!text->ends_with(kQuotes)) {
      const auto line = reader.next(kMore);
      if (!line) return std::nullopt;
      *text += (text->empty() ? "" : "\n") + *line;
    }
    text->erase(text->size() - kQuotes.size());
    while (!text->empty() && text->back() == '\n') text->pop_back();
  } else {
    while (text->ends_with('\\')) {
      const auto line = reader.next(kMore);
      if (!line) return std::nullopt;
      text->back() = '\n';
      *text += *line;
    }
  }
  if (text->find_first_not_of(" \t\n") != std::string::npos) reader.remember(*text);
  return text;
}

std::string default_history_file() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::string folder = variable("XDG_STATE_HOME");
  if (folder.empty() && !variable("HOME").empty()) folder = variable("HOME") + "/.local/state";
  return folder.empty() ? folder : folder + "/lazyfill/chat_history";
}

std::vector<std::string> read_history(const std::string& path, size_t most) {
  std::vector<std::string> texts;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto value = nlohmann::json::parse(line, nullptr, false);
    if (value.is_string()) texts.push_back(value.get<std::string>());
  }
  if (texts.size() > most) texts.erase(texts.begin(), texts.end() - static_cast<ptrdiff_t>(most));
  return texts;
}

void append_history(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const int fd =
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);  // what was asked is private
  if (fd < 0) return;
  const std::string line = nlohmann::json(valid_utf8(text)).dump() + "\n";
  // One call, so that two conversations at once do not mix their lines.
  [[maybe_unused]] const ssize_t written = write(fd, line.data(), line.size());
  close(fd);
}

}  // namespace lazyfill::cli
