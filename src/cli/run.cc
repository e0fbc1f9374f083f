// lazyfill run: one prompt or many, generates.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <optional>

#include "cli/batch.h"
#include "cli/calibration_hint.h"
#include "cli/command.h"
#include "cli/lines.h"
#include "cli/messages.h"
#include "cli/output_file.h"
#include "cli/run_flags.h"
#include "cli/runner.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "run";

int run_one(Runner& runner, const ModelFlags& model, const PromptSettings& settings,
            const std::string& prompt, bool stream, std::optional<OutputFile>& output) {
  auto answer = runner.answer(settings, prompt, stream, output.has_value());
  if (!answer) {
    if (answer.error().code == ErrorCode::kCancelled) return report_failure(kCommand, stopped(0));
    return report_failure(kCommand, answer.error());
  }
  runner.terminal().note(generation_summary(answer->generation));
  runner.tell_cut(settings, answer->generation);
  if (!model.quiet) {
    const std::string hint = calibration_hint(answer->generation.lazy.choice,
                                              runner.engine().info().fingerprint, model.path, hints_folder());
    if (!hint.empty()) runner.terminal().note(hint);
  }
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

// The lines of --jsonl, one after another or many at a time.
Result<void> answer_lines(Runner& runner, const RunFlags& flags, LineReader& reader, LineWriter& writer) {
  if (flags.batch.n > 0) {
    Batch batch(runner, flags, reader, writer);  // outlives the scheduler, which calls it
    auto scheduler = Scheduler::start(runner.executor(), flags.batch.options(runner.context_tokens()));
    if (!scheduler) return tl::unexpected(scheduler.error());
    auto done = batch.run(*scheduler);
    for (const std::string& note : scheduler->notes()) runner.terminal().warn(note);
    return done;
  }
  while (std::optional<Line> line = reader.next()) {
    const LineAnswers answers = line->fault ? LineAnswers() : answer_alone(runner, *line);
    if (auto written = writer.write(*line, answers); !written) {
      const Error& error = written.error();
      return tl::unexpected(error.code == ErrorCode::kCancelled ? writer.located(*line, error, 0) : error);
    }
  }
  return reader.at_end();
}

int run_lines(Runner& runner, const RunFlags& flags, const std::vector<std::string>& args,
              std::istream& input, OutputFile& output) {
  LineReader reader(input, flags, args);
  LineWriter writer(runner, flags, output);
  const auto begin = std::chrono::steady_clock::now();
  const std::clock_t cpu_begin = std::clock();
  if (auto done = answer_lines(runner, flags, reader, writer); !done)
    return report_failure(kCommand, done.error());
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  const double cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
  runner.terminal().note(writer.summary(taken.count(), cpu_seconds));
  return writer.has_failed() ? kExitFailed : kExitDone;
}

// What cannot stand beside --prefix-file and --suffix-file; empty: all is well.
std::string infill_contradiction(const RunFlags& flags) {
  const PromptSettings& settings = flags.settings;
  if (!flags.infill.given())
    return flags.infill.is_constrained() ? "--fim needs --prefix-file or --suffix-file" : "";
  if (flags.prompt.given() || !flags.jsonl.empty() || !flags.messages.empty() || settings.chat)
    return "--prefix-file and --suffix-file are the whole prompt: leave -p, -f, --jsonl and --chat out";
  if (settings.compress < 1 || settings.n_fidelity > 0 || settings.generate.options.max_tokens == 0)
    return "--prefix-file and --suffix-file need an answer: leave --compress, --fidelity and -n 0 out";
  if (flags.infill.is_constrained() && settings.guide.given())
    return "--fim constrained is a guide itself: leave --regex, --choice, --json-schema and --grammar out";
  return "";
}

// What is asked of the command line alone, before the model is loaded.
std::optional<int> check_flags(const RunFlags& flags) {
  if (!flags.jsonl.empty() && flags.prompt.given()) {
    return wrong_usage(kCommand, "--jsonl takes the prompts from its file: leave -p and -f out");
  }
  if (flags.jsonl.empty() && flags.batch.n > 0)
    return wrong_usage(kCommand, "--batch answers the lines of --jsonl FILE: give one");
  if (flags.batch.pads() && flags.batch.n == 0) return wrong_usage(kCommand, "--batch-form needs --batch N");
  if (flags.batch.prefix_cache && flags.batch.n == 0)
    return wrong_usage(kCommand, "--prefix-cache needs --batch N (1: one line after another)");
  if ((!flags.batch.cache_salt.empty() || !flags.batch.state.empty()) && !flags.batch.prefix_cache)
    return wrong_usage(kCommand, "--cache-salt and --state need --prefix-cache");
  if (flags.perplexity && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--prompt-logprobs goes into the record: give --json FILE too");
  if (flags.perplexity && flags.settings.stream && flags.settings.generate.options.max_tokens > 0)
    return wrong_usage(kCommand,
                       "--prompt-logprobs asks the dense model, which holds all of the text; with --stream "
                       "give -n 0, which asks the stream");
  if (const std::string sentence = flags.settings.contradiction(); !sentence.empty())
    return wrong_usage(kCommand, sentence);
  if (flags.settings.n_fidelity > 0 && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--fidelity goes into the record: give --json FILE too");
  if (const std::string sentence = infill_contradiction(flags); !sentence.empty())
    return wrong_usage(kCommand, sentence);
  const bool chat = flags.settings.chat;
  if (!flags.messages.empty() && !chat) return wrong_usage(kCommand, "--messages needs --chat");
  const bool for_template = !flags.chat_template.tools_file.empty() || !flags.chat_template.variables.empty();
  if (for_template && !chat) return wrong_usage(kCommand, "--tools and --template-vars need --chat");
  const bool has_prompt = flags.prompt.given() || !flags.jsonl.empty();
  if (!flags.messages.empty() && (has_prompt || !flags.settings.system.empty()))
    return wrong_usage(kCommand,
                       "--messages holds the whole conversation: leave -p, -f, --jsonl and --system out");
  std::vector<std::string> read = flags.prompt.files;
  read.insert(read.end(), {flags.messages, flags.chat_template.tools_file, flags.jsonl,
                           flags.infill.prefix_file, flags.infill.suffix_file});
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
  InputFiles inputs = {"-",         flags.messages,           flags.chat_template.tools_file,
                       flags.jsonl, flags.infill.prefix_file, flags.infill.suffix_file};
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
  } else if (!many && !flags.infill.given()) {
    auto text = prompt_of(flags);
    if (!text) return report_failure(kCommand, text.error());
    prompt = std::move(*text);
  }
  auto infill = flags.infill.resolve();
  if (!infill) return report_failure(kCommand, infill.error());
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
    settings.infill = std::move(*infill);
    settings.whole_conversation = !flags.messages.empty();
    return run_one(runner, flags.model, settings, prompt, stream, output);
  }
  return run_lines(runner, flags, args, flags.jsonl == "-" ? std::cin : file, *output);
}

}  // namespace

int run_command(const std::vector<std::string>& args) {
  RunFlags values;
  Flags flags = run_flags();
  values.add_to(flags);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (auto exit_code = check_flags(values)) return *exit_code;
  return guarded(kCommand, [&] { return run(values, args); });
}

}  // namespace lazyfill::cli
