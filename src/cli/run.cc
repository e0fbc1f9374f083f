// lazyfill run: one prompt or many, generates.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/fidelity.h"
#include "cli/options.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "pruning/compression.h"

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
  LazyFlags lazy;
  GenerateFlags generate;
  size_t n_fidelity = 0;
  float compress = 1;
  size_t compress_by = 0;
  bool perplexity = false;
  bool chat = false;
  std::string system;
  std::string messages;
  TemplateFlags chat_template;
  std::string jsonl;
  std::string json;
};

// A prompt after --compress.
struct Prompt {
  std::vector<int32_t> tokens;
  std::vector<uint32_t> kept;  // positions in the prompt as given; empty: not compressed
  double compress_ms = 0;
};

// Everything that stays the same from prompt to prompt.
class Runner {
 public:
  Runner(const RunFlags& flags, ChatRequest request, LoadedEngine loaded, size_t context_tokens,
         const Interrupt& interrupt)
      : flags_(flags),
        request_(std::move(request)),
        loaded_(std::move(loaded)),
        context_tokens_(context_tokens),
        interrupt_(interrupt),
        terminal_(flags.model.quiet) {}

  const Terminal& terminal() const { return terminal_; }
  const Engine& engine() const { return loaded_.engine; }

  // The answer goes to standard output as it comes, where `stream` is set.
  Result<Generation> answer(const std::string& text, bool stream) {
    auto given = tokenize(text);
    if (!given) return tl::unexpected(given.error());
    auto prompt = compressed(std::move(*given));
    if (!prompt) return tl::unexpected(prompt.error());
    prompt_ = std::move(*prompt);
    const std::vector<int32_t>* tokens = &prompt_.tokens;
    if (auto fits = check_prompt_fits(tokens->size(), context_tokens_, engine().info()); !fits) {
      return tl::unexpected(fits.error());
    }
    auto session = engine().start_session({.context_tokens = context_tokens_, .lazy = flags_.lazy.resolve()});
    if (!session) return tl::unexpected(session.error());
    GenerateOptions options = flags_.generate.options;
    if (!flags_.json.empty() || !flags_.jsonl.empty()) options.n_top_logprobs = kTopLogprobs;
    ProgressBar bar(terminal_, "prefill");
    auto generation = session->generate(*tokens, options, callbacks(bar, stream));
    bar.clear();
    if (stream && generation) std::printf("\n");
    if (generation) generation->timings.ttft_ms += prompt_.compress_ms;
    if (generation) generation->timings.total_ms += prompt_.compress_ms;
    return generation;
  }

  Result<std::string> record_line(const Generation& generation, const nlohmann::ordered_json& id) const {
    nlohmann::ordered_json record = make_record(generation, loaded_.load_ms);
    if (!id.is_null()) record["id"] = id;
    if (!prompt_.kept.empty()) {
      record["compression"] = {{"by", kCompressors[flags_.compress_by]},
                               {"kept", prompt_.kept},
                               {"compress_ms", prompt_.compress_ms}};
    }
    if (flags_.perplexity) {
      auto logprobs = engine().token_logprobs(generation.prompt_token_ids, interrupt_.token());
      if (!logprobs) return tl::unexpected(logprobs.error());
      record["prompt_logprobs"] = *logprobs;
    }
    if (flags_.n_fidelity > 0) {
      auto dense =
          dense_reference(engine(), generation.prompt_token_ids, flags_.n_fidelity, interrupt_.token());
      if (!dense) return tl::unexpected(dense.error());
      auto fidelity = measure_fidelity(engine(), *dense, flags_.lazy.resolve(), interrupt_.token());
      if (!fidelity) return tl::unexpected(fidelity.error());
      record["fidelity"] = {{"tokens", flags_.n_fidelity},     {"first_kl", fidelity->first_kl},
                            {"mean_kl", fidelity->mean_kl},    {"agreement", fidelity->agreement},
                            {"dense_ttft_ms", dense->ttft_ms}, {"ttft_ms", fidelity->ttft_ms}};
    }
    return json_line(record);
  }

 private:
  Result<std::vector<int32_t>> tokenize(const std::string& prompt) const {
    if (!flags_.chat) return engine().tokenize(prompt);
    ChatRequest request = request_;
    if (flags_.messages.empty()) {
      if (!flags_.system.empty()) request.messages.push_back({"system", flags_.system});
      request.messages.push_back({"user", prompt});
    } else {
      request.messages_json = prompt;
    }
    return tokenize_conversation(engine(), request);
  }

  Result<Prompt> compressed(std::vector<int32_t> tokens) const {
    if (flags_.compress >= 1) return Prompt{std::move(tokens)};
    const auto start = std::chrono::steady_clock::now();
    Prompt prompt;
    const auto keep = static_cast<double>(flags_.compress);
    if (flags_.compress_by == 0) {
      auto logprobs = engine().token_logprobs(tokens, interrupt_.token());
      if (!logprobs) return tl::unexpected(logprobs.error());
      prompt.kept = choose_informative(*logprobs, keep);
    } else {
      prompt.kept = choose_at_random(tokens.size(), keep, flags_.lazy.options.seed);
    }
    for (uint32_t index : prompt.kept) prompt.tokens.push_back(tokens[index]);
    const auto passed = std::chrono::steady_clock::now() - start;
    prompt.compress_ms = std::chrono::duration<double, std::milli>(passed).count();
    return prompt;
  }

  Callbacks callbacks(ProgressBar& bar, bool stream) const {
    Callbacks callbacks;
    callbacks.on_progress = [&bar](const Progress& progress) { bar.update(progress); };
    callbacks.stop = interrupt_.token();
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

  const RunFlags& flags_;
  ChatRequest request_;  // tools and variables
  Prompt prompt_;        // of the latest answer
  LoadedEngine loaded_;
  size_t context_tokens_;
  const Interrupt& interrupt_;
  Terminal terminal_;
};

Error stopped(size_t n_tokens) {
  if (n_tokens == 0) return {ErrorCode::kCancelled, "stopped before the first token"};
  return {ErrorCode::kCancelled, "stopped after " + grouped(n_tokens) + " tokens"};
}

int run_one(Runner& runner, const std::string& prompt, bool stream, std::optional<OutputFile>& output) {
  auto generation = runner.answer(prompt, stream);
  if (!generation) {
    if (generation.error().code == ErrorCode::kCancelled) return report_failure(kCommand, stopped(0));
    return report_failure(kCommand, generation.error());
  }
  runner.terminal().note(generation_summary(*generation));
  if (output) {
    auto line = runner.record_line(*generation, nullptr);
    if (!line) return report_failure(kCommand, line.error());
    if (auto written = output->write(*line); !written) {
      return report_failure(kCommand, written.error());
    }
  }
  if (generation->finish_reason == FinishReason::kCancelled) {
    return report_failure(kCommand, stopped(generation->token_ids.size()));
  }
  return kExitDone;
}

struct PromptLine {
  std::string prompt;
  nlohmann::ordered_json id;  // copied into the record where the line has one
};

Result<PromptLine> parse_line(const std::string& line) {
  const auto value = nlohmann::ordered_json::parse(line, nullptr, false);
  if (value.is_discarded() || !value.is_object()) return fail(ErrorCode::kInvalidFile, "is no JSON object");
  const auto prompt = value.find("prompt");
  if (prompt == value.end() || !prompt->is_string())
    return fail(ErrorCode::kInvalidFile, "has no text \"prompt\"");
  PromptLine parsed{prompt->get<std::string>(), nullptr};
  if (parsed.prompt.empty()) return fail(ErrorCode::kInvalidFile, "has an empty \"prompt\"");
  if (const auto id = value.find("id"); id != value.end() && id->is_primitive()) parsed.id = *id;
  return parsed;
}

int run_many(Runner& runner, const std::string& path, std::istream& input, OutputFile& output) {
  size_t number = 0;
  const auto fail_line = [&](const Error& error) {
    return report_failure(kCommand, {error.code, "line " + std::to_string(number) + " of " + quote(path) +
                                                     ": " + error.message});
  };
  for (std::string line; std::getline(input, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto parsed = parse_line(line);
    if (!parsed) return fail_line(parsed.error());
    auto generation = runner.answer(parsed->prompt, false);
    if (!generation) return fail_line(generation.error());
    if (generation->finish_reason == FinishReason::kCancelled)
      return fail_line(stopped(generation->token_ids.size()));
    auto record = runner.record_line(*generation, parsed->id);
    if (!record) return fail_line(record.error());
    if (auto written = output.write(*record); !written) return fail_line(written.error());
    runner.terminal().note("line " + std::to_string(number) + ": " + generation_summary(*generation));
  }
  if (number == 0) return report_failure(kCommand, {ErrorCode::kInvalidFile, quote(path) + " holds no line"});
  return kExitDone;
}

// What is asked of the command line alone, before the model is loaded.
std::optional<int> check_flags(const RunFlags& flags) {
  if (!flags.jsonl.empty() && (!flags.prompt.prompt.empty() || !flags.prompt.file.empty())) {
    return wrong_usage(kCommand, "--jsonl takes the prompts from its file: leave -p and -f out");
  }
  if (flags.perplexity && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--prompt-logprobs goes into the record: give --json FILE too");
  if (flags.n_fidelity > 0 && flags.compress < 1)
    return wrong_usage(kCommand, "--fidelity compares runs on the same prompt: leave --compress out");
  if (flags.n_fidelity > 0 && flags.json.empty() && flags.jsonl.empty())
    return wrong_usage(kCommand, "--fidelity goes into the record: give --json FILE too");
  if (!flags.system.empty() && !flags.chat) return wrong_usage(kCommand, "--system needs --chat");
  if (!flags.messages.empty() && !flags.chat) return wrong_usage(kCommand, "--messages needs --chat");
  const bool for_template = !flags.chat_template.tools_file.empty() || !flags.chat_template.variables.empty();
  if (for_template && !flags.chat) return wrong_usage(kCommand, "--tools and --template-vars need --chat");
  const bool has_prompt = !flags.prompt.prompt.empty() || !flags.prompt.file.empty() || !flags.jsonl.empty();
  if (!flags.messages.empty() && (has_prompt || !flags.system.empty()))
    return wrong_usage(kCommand,
                       "--messages holds the whole conversation: leave -p, -f, --jsonl and --system out");
  return std::nullopt;
}

int run(const RunFlags& flags) {
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
    auto text = flags.messages.empty() ? read_prompt(flags.prompt) : read_messages(flags.messages);
    if (!text) return report_failure(kCommand, text.error());
    prompt = std::move(*text);
  }
  auto request = flags.chat_template.resolve();
  if (!request) return report_failure(kCommand, request.error());
  std::optional<OutputFile> output;
  if (many || !flags.json.empty()) {
    auto opened = OutputFile::open(flags.json.empty() ? "-" : flags.json);
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  auto context = resolve_context(flags.model, loaded->engine.info());
  if (!context) return wrong_usage(kCommand, context.error().message);
  auto stages = loaded->engine.resolve_schedule(flags.lazy.resolve(), *context);
  if (!stages) return report_schedule_error(kCommand, stages.error());

  Runner runner(flags, std::move(*request), std::move(*loaded), *context, interrupt);
  runner.terminal().note(model_summary(runner.engine().info()));
  if (!many)
    return run_one(runner, prompt, flags.json != "-", output);  // a record on standard output stands alone
  return run_many(runner, flags.jsonl, flags.jsonl == "-" ? std::cin : file, *output);
}

}  // namespace

int run_command(const std::vector<std::string>& args) {
  RunFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  values.model.add_to(flags);
  values.prompt.add_to(flags);
  flags.add_switch("--chat", values.chat, "Put the prompt into the model's chat template");
  flags.add_text("--system", values.system, "TEXT", "System message; with --chat");
  flags.add_text(
      "--messages", values.messages, "FILE",
      "A whole conversation in place of a prompt, as a JSON array of messages (with calls of tools and their "
      "results, if there are any) or as /save of chat writes it; with --chat");
  values.chat_template.add_to(flags);
  flags.add_text("--jsonl", values.jsonl, "FILE",
                 "Many prompts: one JSON object with \"prompt\" a line; - for standard input");
  values.lazy.add_to(flags);
  flags.add_real("--compress", values.compress, 0.01F, 1,
                 "Keep this share of the prompt's tokens before the model sees it; default 1: all");
  flags.add_choice("--compress-by", values.compress_by, kCompressors,
                   "Which: those that the model itself finds most surprising (information), or a choice by "
                   "chance (random, with --policy-seed); default information");
  values.generate.add_to(flags, 128);
  flags.add_text("--json", values.json, "FILE",
                 "Write a JSON record of every prompt, a line each; - for standard output in place of the "
                 "text; --jsonl writes there without it");
  flags.add_count(
      "--fidelity", values.n_fidelity, 0, 4096,
      "Also compare with the dense model over N tokens (KL, agreement), in the record; default 0: "
      "no comparison");
  flags.add_switch(
      "--prompt-logprobs", values.perplexity,
      "Also write the logarithm of each prompt token's probability, for perplexity, in the record");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (auto exit_code = check_flags(values)) return *exit_code;
  return guarded(kCommand, [&] { return run(values); });
}

}  // namespace lazyfill::cli
