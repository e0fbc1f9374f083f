#include "cli/lines.h"

#include <algorithm>
#include <istream>
#include <new>
#include <utility>

#include "cli/json_text.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "tokenizer/utf8.h"

namespace lazyfill::cli {
namespace {

LineAnswers answers_to(Runner& runner, const PromptLine& asked, const PromptSettings& settings) {
  if (!asked.document.empty()) return runner.answer_questions(settings, asked);
  const std::string& prompt = asked.messages.empty() ? asked.prompt : asked.messages;
  auto answer = asked.continuation.empty() ? runner.answer(settings, prompt, false, true)
                                           : runner.score_continuation(settings, prompt, asked.continuation);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->generation.finish_reason == FinishReason::kCancelled)
    return tl::unexpected(stopped(answer->generation.token_ids.size()));
  std::vector<Runner::Answer> answers;
  answers.push_back(std::move(*answer));
  return answers;
}

}  // namespace

LineAnswers answer_alone(Runner& runner, const Line& line) {
  try {
    return answers_to(runner, line.asked, line.settings);
  } catch (const std::bad_alloc&) {  // the next line may be a shorter one
    return fail(ErrorCode::kOutOfMemory, "not enough memory for this line");
  }
}

std::optional<Line> LineReader::next() {
  for (std::string text; std::getline(input_, text);) {
    if (++number_ == 1) drop_byte_order_mark(text);
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    ++n_lines_;
    return read(std::move(text));
  }
  return std::nullopt;
}

Result<void> LineReader::at_end() const {
  if (input_.bad()) return fail(ErrorCode::kNotFound, "cannot read " + quote(flags_.jsonl));
  if (n_lines_ == 0) return fail(ErrorCode::kInvalidFile, quote(flags_.jsonl) + " holds no line");
  return {};
}

Line LineReader::read(std::string text) const {
  Line line;
  line.number = number_;
  const std::string mended = utf8::replace_invalid(text);
  const auto [fault_in_mended, _] = std::mismatch(mended.begin(), mended.end(), text.begin(), text.end());
  auto valid = checked_text(std::move(text), "the text", flags_.prompt.text);
  if (!valid) {
    line.id = parse_prompt_line(mended).id;
    line.fault = valid.error();
    line.column = position_of(mended, static_cast<size_t>(fault_in_mended - mended.begin())).column;
    return line;
  }
  ParsedLine parsed = parse_prompt_line(*valid);
  line.id = std::move(parsed.id);
  if (!parsed.prompt) {
    line.fault = parsed.prompt.error().error;
    line.column = position_of(*valid, parsed.prompt.error().byte).column;
    return line;
  }
  line.asked = std::move(*parsed.prompt);
  auto settings = settings_of(line.asked, flags_, args_);
  if (settings) {
    line.settings = std::move(*settings);
  } else {
    line.fault = settings.error();
    line.column = position_of(*valid, line.asked.flags_byte).column;
  }
  return line;
}

Result<void> LineWriter::write(const Line& line, const LineAnswers& answers) {
  if (line.fault) return refuse(line, *line.fault, line.column);
  if (!answers) return refuse(line, answers.error(), 0);
  for (const Runner::Answer& answer : *answers) {
    auto record = runner_.record_line(answer, line.id);
    if (!record) return refuse(line, record.error(), 0);
    if (auto written = output_.write(*record); !written) return written;
    runner_.terminal().note(
        "line " + std::to_string(line.number) + ": " + generation_summary(answer.generation) +
        (cut_of(answer.generation, runner_.context_tokens()) == Cut::kNot ? "" : ", cut"));
    ++n_answers_;
    n_prompt_tokens_ += answer.generation.prompt_token_ids.size();
    n_generated_tokens_ += answer.generation.token_ids.size();
  }
  return {};
}

std::string LineWriter::summary(double seconds, double cpu_seconds) const {
  return std::to_string(n_answers_) + (n_answers_ == 1 ? " answer, " : " answers, ") +
         grouped(n_prompt_tokens_) + " prompt tokens and " + grouped(n_generated_tokens_) +
         " generated, in " + fixed(seconds, 3) + " s, " + fixed(cpu_seconds, 3) + " s of processor time";
}

Result<void> LineWriter::refuse(const Line& line, const Error& error, size_t column) {
  if (error.code == ErrorCode::kCancelled) return tl::unexpected(error);
  has_failed_ = true;
  report_failure(kRun, located(line, error, column));
  return output_.write(json_line(error_record(error, line.number, column), line.id));
}

Error LineWriter::located(const Line& line, const Error& error, size_t column) const {
  return {error.code, "line " + std::to_string(line.number) +
                          (column > 0 ? ", column " + std::to_string(column) : "") + " of " +
                          quote(flags_.jsonl) + ": " + error.message};
}

}  // namespace lazyfill::cli
