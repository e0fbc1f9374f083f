#include "server/log.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace lazyfill::server {
namespace {

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  const size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(ms));
  return text;
}

double rounded(double value) {
  return std::round(value * 10) / 10;
}

}  // namespace

void Log::write(const char* level, const char* event, const Json& fields) {
  if (is_quiet_ && std::string_view(level) == "info") return;
  Json line = {{"time", now_text()}, {"level", level}, {"event", event}};
  line.update(fields);
  // ASCII alone: no control character, no direction mark, no line separator reaches a terminal.
  const std::string text = line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
  const std::scoped_lock lock(mutex_);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Log::write(const AnswerRecord& record) {
  Json fields = {{"id", record.id}, {"status", record.status}};
  if (!record.error_code.empty()) fields["error"] = record.error_code;
  if (record.is_cancelled) fields["client"] = "gone";
  if (record.n_prompt_tokens > 0) {
    fields["prompt_tokens"] = record.n_prompt_tokens;
    fields["cached_tokens"] = record.n_cached_tokens;
    fields["agreeing_tokens"] = record.n_agreeing_tokens;
    fields["generated_tokens"] = record.n_generated_tokens;
  }
  if (record.status == 200) {
    fields["queue_ms"] = rounded(record.timings.queue_ms);
    fields["ttft_ms"] = rounded(record.timings.ttft_ms);
    fields["total_ms"] = rounded(record.timings.total_ms);
    fields["computed_share"] = std::round(record.computed_share * 1000) / 1000;
  }
  write(record.status >= 500 ? "error" : "info", "answer", fields);
}

}  // namespace lazyfill::server
