// Editing with libedit. It knows no bracketed paste, so the two marks around a paste are bound to a function
// here that takes all between them as one text.
#include <histedit.h>
#include <signal.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <utility>

#include "cli/question_reader.h"
#include "cli/terminal.h"
#include "tokenizer/utf8.h"

namespace lazyfill::cli {
namespace {

constexpr size_t kMostRemembered = 1000;
constexpr char kPasteOn[] = "\033[?2004h";
constexpr char kPasteOff[] = "\033[?2004l";

class Editor : public QuestionReader {
 public:
  Editor(QuestionReaderOptions options, EditLine* editor, History* history)
      : options_(std::move(options)), editor_(editor), history_(history) {
    HistEvent event;
    ::history(history_, &event, H_SETSIZE, static_cast<int>(kMostRemembered));
    ::history(history_, &event, H_SETUNIQUE, 1);
    for (const std::string& text : read_history(options_.history_file, kMostRemembered))
      ::history(history_, &event, H_ENTER, text.c_str());
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_SIGNAL, 1);  // a program that is ended leaves the terminal as it was
    el_set(editor_, EL_HIST, ::history, history_);
    el_set(editor_, EL_PROMPT, &prompt);
    bind("lazyfill-paste", "takes what is pasted", "\033[200~", &paste);
    bind("lazyfill-newline", "begins another line", "\033\r", &new_line);
    bind("lazyfill-complete", "completes a command", "\t", &complete);
    bind("lazyfill-stop", "stops the program", "\032", &stop);
    el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(editor_, nullptr);
  }
  ~Editor() override {
    history_end(history_);
    el_end(editor_);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  std::optional<std::string> next(const std::string& prompt) override {
    prompt_ = prompt;
    // libedit would do so after the prompt: what comes in between met the terminal's limit of 4,095
    // characters.
    el_set(editor_, EL_PREP_TERM, 1);
    std::fputs(kPasteOn, stderr);
    std::fflush(stderr);
    int n_bytes = 0;
    const char* line = el_gets(editor_, &n_bytes);
    std::fputs(kPasteOff, stderr);
    std::fflush(stderr);
    if (line == nullptr || n_bytes <= 0) return std::nullopt;
    std::string text(line, static_cast<size_t>(n_bytes));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return text;
  }

  void remember(const std::string& text) override {
    HistEvent event;
    ::history(history_, &event, H_ENTER, text.c_str());
    append_history(options_.history_file, text);
  }

 private:
  using Function = unsigned char (*)(EditLine*, int);

  void bind(const char* name, const char* help, const char* keys, Function function) {
    el_set(editor_, EL_ADDFN, name, help, function);
    el_set(editor_, EL_BIND, keys, name, nullptr);
  }

  static Editor& self(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<Editor*>(data);
  }

  static char* prompt(EditLine* editor) { return self(editor).prompt_.data(); }

  static unsigned char paste(EditLine* editor, int) {
    constexpr std::string_view kEnd = "\033[201~";
    std::string text;
    wchar_t c = 0;
    while (!text.ends_with(kEnd) && el_wgetc(editor, &c) == 1) utf8::append(text, static_cast<char32_t>(c));
    if (text.ends_with(kEnd)) text.resize(text.size() - kEnd.size());
    std::string clean;  // a line's end is one newline, and nothing steers the terminal
    for (size_t i = 0; i < text.size(); ++i) {
      const char byte = text[i];
      if (byte == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
      if (byte == '\r' || byte == '\n') {
        clean += '\n';
      } else if (static_cast<unsigned char>(byte) >= 0x20 || byte == '\t') {
        clean += byte;
      }
    }
    while (!clean.empty() && clean.back() == '\n') clean.pop_back();
    return el_insertstr(editor, clean.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  static unsigned char new_line(EditLine* editor, int) {
    return el_insertstr(editor, "\n") == 0 ? CC_REFRESH : CC_ERROR;
  }

  static unsigned char stop(EditLine*, int) {
    raise(SIGTSTP);
    return CC_REDISPLAY;
  }

  static unsigned char complete(EditLine* editor, int) {
    const LineInfo* line = el_line(editor);
    const std::string begun(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
    std::vector<std::string> fitting;
    for (const std::string& command : self(editor).options_.commands) {
      if (!begun.empty() && command.starts_with(begun)) fitting.push_back(command);
    }
    if (fitting.empty()) return CC_ERROR;
    std::string common = fitting.front();
    for (const std::string& command : fitting) {
      while (!command.starts_with(common)) common.pop_back();
    }
    const std::string rest = common.substr(begun.size()) + (fitting.size() == 1 ? " " : "");
    if (!rest.empty()) return el_insertstr(editor, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    std::fputs("\n", stderr);
    for (const std::string& command : fitting) std::fprintf(stderr, "%s  ", command.c_str());
    std::fputs("\n", stderr);
    return CC_REDISPLAY;
  }

  QuestionReaderOptions options_;
  EditLine* editor_;
  History* history_;
  std::string prompt_;
};

}  // namespace

std::unique_ptr<QuestionReader> make_line_editor(QuestionReaderOptions options) {
  std::setlocale(LC_CTYPE, "C.UTF-8");  // texts are UTF-8 whatever the user's locale says
  History* history = history_init();
  if (history == nullptr) return nullptr;
  EditLine* editor = el_init("lazyfill", stdin, stderr, stderr);
  if (editor == nullptr) {
    history_end(history);
    return nullptr;
  }
  return std::make_unique<Editor>(std::move(options), editor, history);
}

}  // namespace lazyfill::cli
