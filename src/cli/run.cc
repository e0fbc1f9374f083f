// lazyfill run: one prompt or many, generates.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prompt_line.h"
#include "cli/record.h"
#include "cli/runner.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"

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
constexpr size_t kTopLogprobs = 20;
const std::vector<std::string> kCompressors = {"information", "random"};

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
        "scored in place of an answer), or with \"document\" and \"questions\"; \"flags\" are for "
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

int run_one(Runner& runner, const RunFlags& flags, const std::string& prompt, bool stream,
            std::optional<OutputFile>& output) {
  auto answer = runner.answer(flags.settings, prompt, stream, output.has_value());
  if (!answer) {
    if (answer.error().code == ErrorCode::kCancelled) return report_failure(kCommand, stopped(0));
    return report_failure(kCommand, answer.error());
  }
  runner.terminal().note(generation_summary(answer->generation));
  if (output) {
    auto line = runner.record_line(*answer, nullptr);
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

// The settings of a line with flags of its own. A value: the exit code of wrong usage, after its sentence.
std::optional<int> settings_of(const PromptLine& line, const std::string& where,
                               const std::vector<std::string>& args, PromptSettings& settings) {
  {
    PromptSettings unused;  // a flag that cannot change from line to line is refused
    Flags known(kCommand, kSummary, kExamples);
    unused.add_to(known);
    known.set_where(where);
    if (auto exit_code = known.parse(line.flags)) return exit_code;
  }
  RunFlags all;
  Flags flags(kCommand, kSummary, kExamples);
  all.add_to(flags);
  flags.set_where(where);
  std::vector<std::string> together = args;
  together.insert(together.end(), line.flags.begin(), line.flags.end());
  if (auto exit_code = flags.parse(together)) return exit_code;
  if (const std::string sentence = all.settings.contradiction(); !sentence.empty())
    return wrong_usage(kCommand, where + sentence);
  settings = all.settings;
  return std::nullopt;
}

Result<std::vector<Runner::Answer>> answers_to(Runner& runner, const PromptLine& line,
                                               const PromptSettings& settings) {
  if (!line.document.empty()) return runner.answer_questions(settings, line);
  auto answer = line.continuation.empty()
                    ? runner.answer(settings, line.prompt, false, true)
                    : runner.score_continuation(settings, line.prompt, line.continuation);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->generation.finish_reason == FinishReason::kCancelled)
    return tl::unexpected(stopped(answer->generation.token_ids.size()));
  std::vector<Runner::Answer> answers;
  answers.push_back(std::move(*answer));
  return answers;
}

int run_many(Runner& runner, const RunFlags& flags, const std::vector<std::string>& args, std::istream& input,
             OutputFile& output) {
  size_t number = 0;
  const auto where = [&] { return "line " + std::to_string(number) + " of " + quote(flags.jsonl) + ": "; };
  const auto fail_line = [&](const Error& error) {
    return report_failure(kCommand, {error.code, where() + error.message});
  };
  for (std::string text; std::getline(input, text);) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto valid = checked_text(std::move(text), "the text", flags.prompt.text);
    if (!valid) return fail_line(valid.error());
    auto line = parse_prompt_line(*valid);
    if (!line) return fail_line(line.error());
    PromptSettings settings = flags.settings;
    if (!line->flags.empty()) {
      if (auto exit_code = settings_of(*line, where(), args, settings)) return *exit_code;
    }
    auto answers = answers_to(runner, *line, settings);
    if (!answers) return fail_line(answers.error());
    for (const Runner::Answer& answer : *answers) {
      auto record = runner.record_line(answer, line->id);
      if (!record) return fail_line(record.error());
      if (auto written = output.write(*record); !written) return fail_line(written.error());
      runner.terminal().note("line " + std::to_string(number) + ": " + generation_summary(answer.generation));
    }
  }
  if (number == 0)
    return report_failure(kCommand, {ErrorCode::kInvalidFile, quote(flags.jsonl) + " holds no line"});
  return kExitDone;
}

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
  runner.with_template(std::move(*request), !flags.messages.empty());
  if (flags.perplexity) runner.with_prompt_logprobs();
  runner.terminal().note(model_summary(runner.engine().info()));
  const bool stream = !output || !output->is_standard_output();  // a record there stands alone
  if (!many) return run_one(runner, flags, prompt, stream, output);
  return run_many(runner, flags, args, flags.jsonl == "-" ? std::cin : file, *output);
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
