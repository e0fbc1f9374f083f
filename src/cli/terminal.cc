#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/characters.h"
#include "cli/flags.h"
#include "cli/text.h"
#include "cli/words.h"

namespace lazyfill::cli {
namespace {

constexpr size_t kBarColumns = 24;
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);

std::string bar(double fraction) {
  const auto n_full = static_cast<size_t>(std::lround(fraction * kBarColumns));
  std::string cells;
  for (size_t i = 0; i < kBarColumns; ++i) cells += i < n_full ? "\u2588" : "\u2591";
  return cells;
}

}  // namespace

bool is_terminal(Stream stream) {
  return isatty(static_cast<int>(stream)) == 1;
}

bool knows_escapes(Stream stream) {
  const char* term = std::getenv("TERM");
  return is_terminal(stream) && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

bool wants_colour(Stream stream) {
  const char* no_colour = std::getenv("NO_COLOR");
  return knows_escapes(stream) && (no_colour == nullptr || *no_colour == '\0');
}

size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

Terminal::Terminal(bool quiet)
    : quiet_(quiet),
      shows_progress_(!quiet && knows_escapes(Stream::kError)),
      colour_(wants_colour(Stream::kError)) {}

void Terminal::note(std::string_view line) const {
  if (quiet_) return;
  const std::string text(line);
  std::fprintf(stderr, colour_ ? "\033[2m%s\033[0m\n" : "%s\n", text.c_str());
}

void Terminal::warn(std::string_view line) const {
  const std::string text(line);
  std::fprintf(stderr, colour_ ? "\033[33mwarning:\033[0m %s\n" : "warning: %s\n", text.c_str());
}

int report_failure(std::string_view command, const Error& error) {
  const bool colour = wants_colour(Stream::kError);
  std::fprintf(stderr, "%slazyfill %s:%s %s%s\n", colour ? "\033[31m" : "", std::string(command).c_str(),
               colour ? "\033[0m" : "", printable(error.message).c_str(),
               variables_behind(error.message).c_str());
  return kExitFailed;
}

ProgressBar::ProgressBar(const Terminal& terminal, std::string label)
    : enabled_(terminal.shows_progress()), label_(std::move(label)) {}

void ProgressBar::update(const Progress& progress) {
  const auto now = Clock::now();
  if (!enabled_ || now - last_draw_ < kRedrawEvery) return;
  last_draw_ = now;
  drawn_ = true;
  const double elapsed_ms = std::chrono::duration<double, std::milli>(now - start_).count();
  std::fprintf(stderr, "\r\033[K%s",
               progress_line(label_, progress, elapsed_ms, terminal_columns() - 1).c_str());
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
  drawn_ = false;
}

Callbacks watched(ProgressBar& bar, std::stop_token stop, bool stream) {
  Callbacks callbacks;
  callbacks.on_progress = [&bar](const Progress& progress) { bar.update(progress); };
  callbacks.stop = std::move(stop);
  if (stream) {
    callbacks.on_token = [&bar, clean = is_terminal(Stream::kOutput)](int32_t, std::string_view text) {
      bar.clear();
      const std::string shown = clean ? printable(text) : std::string(text);
      std::fwrite(shown.data(), 1, shown.size(), stdout);
      return std::fflush(stdout) == 0;
    };
  }
  return callbacks;
}

std::string progress_line(std::string_view label, const Progress& progress, double elapsed_ms,
                          size_t columns) {
  const double fraction = std::clamp(progress.fraction, 0.0, 1.0);
  std::string line(label);
  const auto append = [&](const std::string& part) {
    // Parts that do not fit are left out whole: half a number would mislead.
    const std::string longer = line + "  " + part;
    if (count_characters(longer) <= columns) line = longer;
  };
  append(fixed(fraction * 100, 0) + "%");
  if (progress.n_layers > 0) {  // 0: no prompt, a download
    append("layer " + std::to_string(std::min(progress.layer + 1, progress.n_layers)) + "/" +
           std::to_string(progress.n_layers));
    append(grouped(progress.rows) + " rows");
  }
  // Early estimates jump about; nobody is helped by them.
  if (fraction > 0.03) append(duration_text(elapsed_ms * (1 - fraction) / fraction) + " left");
  append(bar(fraction));
  return line;
}

}  // namespace lazyfill::cli
