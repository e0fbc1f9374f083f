// lazyfill run: one prompt or many, generates.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prompt_line.h"
#include "cli/record.h"
#include "cli/runner.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "tokenizer/utf8.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "run";
constexpr char kSummary[] =
    "Answers one prompt or many: the text on standard output, everything else on standard error.";
constexpr char kExamples[] =
    "  lazyfill run -p \"The three primary colours are\"\n"
    "  lazyfill run --chat -f report.txt -p \"What did the committee decide?\" -n 200\n"
    "  lazyfill run --chat --messages talk.json --tools tools.json\n"
    "  lazyfill run -m model.gguf -f long.txt -n 32 --temp 0 --lazy 9:0.5,15:0.5,22:0.5 --json out.json\n"
    "  cat long.txt | lazyfill run --lazy off\n"
    "  lazyfill run --jsonl prompts.jsonl --json answers.jsonl     # one object with \"prompt\" a line\n";

struct RunFlags {
  ModelFlags model;
  PromptFlags prompt;
  PromptSettings settings;
  bool perplexity = false;
  std::string messages;
  TemplateFlags chat_template;
  std::string jsonl;
  std::string json;

  void add_to(Flags& flags) {
    model.add_to(flags);
    prompt.add_to(flags);
    flags.add_text("--messages", messages, "FILE",
                   "A whole conversation in place of a prompt, as a JSON array of messages (with calls of "
                   "tools and their results, if there are any) or as /save of chat writes it; with --chat");
    chat_template.add_to(flags);
    flags.add_text(
        "--jsonl", jsonl, "FILE",
        "Many prompts: one JSON object a line, with \"prompt\" (and \"continuation\": a text to be "
        "scored in place of an answer), \"messages\", or \"document\" and \"questions\"; \"flags\" are for "
        "this line alone; - for standard input");
    settings.add_to(flags);
    flags.add_text("--json", json, "FILE",
                   "Write a JSON record of every prompt, a line each; - for standard output in place of the "
                   "text; --jsonl writes there without it");
    flags.add_switch(
        "--prompt-logprobs", perplexity,
        "Also write the logarithm of each prompt token's probability, for perplexity, in the record");
  }
};

int run_one(Runner& runner, const PromptSettings& settings, const std::string& prompt, bool stream,
            std::optional<OutputFile>& output) {
  auto answer = runner.answer(settings, prompt, stream, output.has_value());
  if (!answer) {
    if (answer.error().code == ErrorCode::kCancelled) return report_failure(kCommand, stopped(0));
    return report_failure(kCommand, answer.error());
  }
  runner.terminal().note(generation_summary(answer->generation));
  if (output) {
    auto line = runner.record_line(*answer, "");
    if (!line) return report_failure(kCommand, line.error());
    if (auto written = output->write(*line); !written) {
      return report_failure(kCommand, written.error());
    }
  }
  if (answer->generation.finish_reason == FinishReason::kCancelled) {
    return report_failure(kCommand, stopped(answer->generation.token_ids.size()));
  }
  return kExitDone;
}

// The settings of a line: the command line's, then its own.
Result<PromptSettings> settings_of(const PromptLine& line, const RunFlags& command,
                                   const std::vector<std::string>& args) {
  PromptSettings settings = command.settings;
  if (!line.flags.empty()) {
    PromptSettings unused;  // a flag that cannot change from line to line is refused
    Flags known(kCommand, kSummary, kExamples);
    unused.add_to(known);
    if (auto read = known.read(line.flags); !read)
      return fail(ErrorCode::kInvalidArgument, "its \"flags\": " + read.error().message);
    RunFlags all;
    Flags flags(kCommand, kSummary, kExamples);
    all.add_to(flags);
    std::vector<std::string> together = args;
    together.insert(together.end(), line.flags.begin(), line.flags.end());
    if (auto read = flags.read(together); !read) return tl::unexpected(read.error());
    settings = all.settings;
  }
  if (!line.messages.empty()) {
    if (!settings.system.empty())
      return fail(ErrorCode::kInvalidArgument,
                  "its \"messages\" are the whole conversation: leave --system out");
    settings.chat = settings.whole_conversation = true;
  }
  if (std::string sentence = settings.contradiction(); !sentence.empty())
    return fail(ErrorCode::kInvalidArgument, std::move(sentence));
  return settings;
}

Result<std::vector<Runner::Answer>> answers_to(Runner& runner, const PromptLine& line,
                                               const PromptSettings& settings) {
  if (!line.document.empty()) return runner.answer_questions(settings, line);
  const std::string& prompt = line.messages.empty() ? line.prompt : line.messages;
  auto answer = line.continuation.empty() ? runner.answer(settings, prompt, false, true)
                                          : runner.score_continuation(settings, prompt, line.continuation);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->generation.finish_reason == FinishReason::kCancelled)
    return tl::unexpected(stopped(answer->generation.token_ids.size()));
  std::vector<Runner::Answer> answers;
  answers.push_back(std::move(*answer));
  return answers;
}

// The lines of --jsonl, one after another. A line that fails gets a record that says why, and costs the
// others nothing.
class Lines {
 public:
  Lines(Runner& runner, const RunFlags& flags, const std::vector<std::string>& args, OutputFile& output)
      : runner_(runner), flags_(flags), args_(args), output_(output) {}

  int run(std::istream& input) {
    size_t n_lines = 0;
    for (std::string text; std::getline(input, text);) {
      if (++number_ == 1) drop_byte_order_mark(text);
      if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
      ++n_lines;
      if (auto done = answer(std::move(text)); !done)
        return report_failure(kCommand, located(done.error(), 0));
    }
    if (input.bad())
      return report_failure(kCommand, {ErrorCode::kNotFound, "cannot read " + quote(flags_.jsonl)});
    if (n_lines == 0)
      return report_failure(kCommand, {ErrorCode::kInvalidFile, quote(flags_.jsonl) + " holds no line"});
    return has_failed_ ? kExitFailed : kExitDone;
  }

 private:
  // An error ends the run.
  Result<void> answer(std::string text) {
    const std::string mended = utf8::replace_invalid(text);
    const auto [fault_in_mended, _] = std::mismatch(mended.begin(), mended.end(), text.begin(), text.end());
    auto valid = checked_text(std::move(text), "the text", flags_.prompt.text);
    if (!valid) {
      const auto byte = static_cast<size_t>(fault_in_mended - mended.begin());
      return refuse(parse_prompt_line(mended).id, valid.error(), position_of(mended, byte).column);
    }
    const ParsedLine line = parse_prompt_line(*valid);
    if (!line.prompt) {
      const LineFault& fault = line.prompt.error();
      return refuse(line.id, fault.error, position_of(*valid, fault.byte).column);
    }
    auto settings = settings_of(*line.prompt, flags_, args_);
    if (!settings)
      return refuse(line.id, settings.error(), position_of(*valid, line.prompt->flags_byte).column);
    auto answers = answers_in_memory(*line.prompt, *settings);
    if (!answers) return refuse(line.id, answers.error(), 0);
    for (const Runner::Answer& answer : *answers) {
      auto record = runner_.record_line(answer, line.id);
      if (!record) return refuse(line.id, record.error(), 0);
      if (auto written = output_.write(*record); !written) return written;
      runner_.terminal().note("line " + std::to_string(number_) + ": " +
                              generation_summary(answer.generation));
    }
    return {};
  }

  // The next line may be a shorter one.
  Result<std::vector<Runner::Answer>> answers_in_memory(const PromptLine& line,
                                                        const PromptSettings& settings) {
    try {
      return answers_to(runner_, line, settings);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::kOutOfMemory, "not enough memory for this line");
    }
  }

  // column: 0 where the error is not one of the text.
  Result<void> refuse(const std::string& id, const Error& error, size_t column) {
    if (error.code == ErrorCode::kCancelled) return tl::unexpected(error);
    has_failed_ = true;
    report_failure(kCommand, located(error, column));
    return output_.write(json_line(error_record(error, number_, column), id));
  }

  Error located(const Error& error, size_t column) const {
    return {error.code, "line " + std::to_string(number_) +
                            (column > 0 ? ", column " + std::to_string(column) : "") + " of " +
                            quote(flags_.jsonl) + ": " + error.message};
  }

  Runner& runner_;
  const RunFlags& flags_;
  const std::vector<std::string>& args_;
  OutputFile& output_;
  size_t number_ = 0;
  bool has_failed_ = false;
};

// What is asked of the command line alone, before the model is loaded.
std::optional<int> check_flags(const RunFlags& flags) {
  if (!flags.jsonl.empty() && flags.prompt.given()) {
    return wrong_usage(kCommand, "--jsonl takes the prompts from its file: leave -p and -f out");
  }
  if (flags.perplexity && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--prompt-logprobs goes into the record: give --json FILE too");
  if (const std::string sentence = flags.settings.contradiction(); !sentence.empty())
    return wrong_usage(kCommand, sentence);
  if (flags.settings.n_fidelity > 0 && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--fidelity goes into the record: give --json FILE too");
  const bool chat = flags.settings.chat;
  if (!flags.messages.empty() && !chat) return wrong_usage(kCommand, "--messages needs --chat");
  const bool for_template = !flags.chat_template.tools_file.empty() || !flags.chat_template.variables.empty();
  if (for_template && !chat) return wrong_usage(kCommand, "--tools and --template-vars need --chat");
  const bool has_prompt = flags.prompt.given() || !flags.jsonl.empty();
  if (!flags.messages.empty() && (has_prompt || !flags.settings.system.empty()))
    return wrong_usage(kCommand,
                       "--messages holds the whole conversation: leave -p, -f, --jsonl and --system out");
  std::vector<std::string> read = flags.prompt.files;
  read.insert(read.end(), {flags.messages, flags.chat_template.tools_file, flags.jsonl});
  if (const std::string sentence = standard_input_twice(read); !sentence.empty())
    return wrong_usage(kCommand, sentence);
  return std::nullopt;
}

// The prompt, or with --messages the conversation as a JSON array.
Result<std::string> prompt_of(const RunFlags& flags) {
  if (!flags.messages.empty()) return read_messages(flags.messages, flags.prompt.text);
  return read_prompt(flags.prompt, Terminal(flags.model.quiet),
                     !is_standard_input(flags.chat_template.tools_file));
}

InputFiles inputs_of(const RunFlags& flags) {
  InputFiles inputs = {"-", flags.messages, flags.chat_template.tools_file, flags.jsonl};
  inputs.add(flags.prompt.files);
  inputs.add_model(flags.model.path);
  inputs.add_presets(flags.model.path);
  return inputs;
}

int run(const RunFlags& flags, const std::vector<std::string>& args) {
  const Interrupt interrupt;
  const bool many = !flags.jsonl.empty();
  std::string prompt;
  std::ifstream file;
  if (many && flags.jsonl != "-") {
    file.open(flags.jsonl);
    if (!file)
      return report_failure(kCommand, {ErrorCode::kNotFound,
                                       "cannot open " + quote(flags.jsonl) + ": " + std::strerror(errno)});
  } else if (!many) {
    auto text = prompt_of(flags);
    if (!text) return report_failure(kCommand, text.error());
    prompt = std::move(*text);
  }
  auto request = flags.chat_template.resolve(flags.prompt.text);
  if (!request) return report_failure(kCommand, request.error());
  std::optional<OutputFile> output;
  if (many || !flags.json.empty()) {
    auto opened = OutputFile::open(flags.json.empty() ? "-" : flags.json, inputs_of(flags));
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  auto context = resolve_context(flags.model, loaded->engine.info());
  if (!context) return wrong_usage(kCommand, context.error().message);
  auto stages = loaded->engine.resolve_schedule(flags.settings.lazy.resolve(), *context);
  if (!stages) return report_schedule_error(kCommand, stages.error());

  Runner runner(std::move(*loaded), *context, flags.model.quiet, interrupt);
  runner.with_template(std::move(*request));
  if (flags.perplexity) runner.with_prompt_logprobs();
  runner.terminal().note(model_summary(runner.engine().info()));
  const bool stream = !output || !output->is_standard_output();  // a record there stands alone
  if (!many) {
    PromptSettings settings = flags.settings;
    settings.whole_conversation = !flags.messages.empty();
    return run_one(runner, settings, prompt, stream, output);
  }
  return Lines(runner, flags, args, *output).run(flags.jsonl == "-" ? std::cin : file);
}

}  // namespace

int run_command(const std::vector<std::string>& args) {
  RunFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  values.add_to(flags);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (auto exit_code = check_flags(values)) return *exit_code;
  return guarded(kCommand, [&] { return run(values, args); });
}

}  // namespace lazyfill::cli
