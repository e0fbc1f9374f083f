// lazyfill explain: the same prompt dense and lazy, and what the lazy prefill left out.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/explain_page.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "conversation/conversation.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "explain";
constexpr char kSummary[] =
    "Answers a prompt dense and lazy, compares both, and writes a page that shows which prompt tokens each "
    "pruning\n"
    "layer kept.";
constexpr char kExamples[] =
    "  lazyfill explain -f report.txt -p \"Summarise this.\" -o explain.html\n"
    "  lazyfill explain --chat -f report.txt -p \"Who signed it?\" --lazy 9:0.5,15:0.5,22:0.5\n"
    "  lazyfill explain -f report.txt --color | less -R\n";
// More than this floods a terminal that did not ask for it.
constexpr size_t kMostColouredTokens = 1000;

struct ExplainFlags {
  ModelFlags model;
  PromptFlags prompt;
  LazyFlags lazy;
  GenerateFlags generate;
  std::string output = "explain.html";
  std::string json;
  std::string system;
  bool special = false;
  bool chat = false;
  bool colour = false;
  bool no_page = false;
};

Result<std::vector<int32_t>> tokenize(const Engine& engine, const ExplainFlags& flags,
                                      const std::string& prompt) {
  if (!flags.chat) return engine.tokenize(prompt, true, flags.special);
  ChatRequest request;
  if (!flags.system.empty()) request.messages.push_back({"system", flags.system});
  request.messages.push_back({"user", prompt});
  return tokenize_conversation(engine, request, flags.special);
}

struct Runs {
  Generation dense;
  Generation lazy;
};

class Comparison {
 public:
  Comparison(const Executor& executor, const ExplainFlags& flags, size_t context_tokens,
             const Interrupt& interrupt)
      : executor_(executor), flags_(flags), context_tokens_(context_tokens), interrupt_(interrupt) {}

  Result<Runs> run(const std::vector<int32_t>& tokens) const {
    // The first rows of a process pay for pages that the weights are read into; neither side should.
    const std::vector<int32_t> few(
        tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(std::min<size_t>(tokens.size(), 64)));
    LazyOptions off;
    off.schedule = "off";
    auto warm_up = generate(few, off, "warming up", 1);
    if (!warm_up) return tl::unexpected(warm_up.error());
    const size_t n = flags_.generate.options.max_tokens;
    auto dense = generate(tokens, off, "dense", n);
    if (!dense) return tl::unexpected(dense.error());
    auto lazy = generate(tokens, flags_.lazy.resolve(), "lazy", n);
    if (!lazy) return tl::unexpected(lazy.error());
    return Runs{std::move(*dense), std::move(*lazy)};
  }

 private:
  Result<Generation> generate(const std::vector<int32_t>& tokens, const LazyOptions& lazy, const char* label,
                              size_t max_tokens) const {
    auto session = executor_.start_session({.context_tokens = context_tokens_, .lazy = lazy});
    if (!session) return tl::unexpected(session.error());
    ProgressBar bar(Terminal(flags_.model.quiet), label);
    GenerateOptions options = flags_.generate.options;
    options.max_tokens = max_tokens;
    auto generation = session->generate(tokens, options, watched(bar, interrupt_.token(), false));
    if (interrupt_.fired()) return fail(ErrorCode::kCancelled, "stopped");
    return generation;
  }

  const Executor& executor_;
  const ExplainFlags& flags_;
  size_t context_tokens_;
  const Interrupt& interrupt_;
};

void print_comparison(const Explanation& explanation, const std::string& page_path) {
  const Generation& dense = explanation.dense;
  const Generation& lazy = explanation.lazy;
  const double share = computed_share(lazy.lazy, explanation.pieces.size(), explanation.model.n_layers);
  std::printf("prompt   %s tokens\n", grouped(explanation.pieces.size()).c_str());
  std::printf("dense    TTFT %s\n", duration_text(dense.timings.ttft_ms).c_str());
  std::printf("lazy     TTFT %s   schedule %s, %s%% of the prefill computed\n",
              duration_text(lazy.timings.ttft_ms).c_str(), lazy_text(lazy.lazy).c_str(),
              fixed(share * 100, 0).c_str());
  if (lazy.timings.ttft_ms > 0) {
    std::printf("ratio    %sx sooner\n", fixed(dense.timings.ttft_ms / lazy.timings.ttft_ms, 2).c_str());
  }
  std::printf("\nAnswer, dense:\n%s\n\nAnswer, lazy:\n%s\n", printable(dense.text).c_str(),
              printable(lazy.text).c_str());
  if (!page_path.empty()) std::printf("\nPage: %s\n", page_path.c_str());
}

std::vector<std::string> prompt_pieces(const Engine& engine, const std::vector<int32_t>& tokens) {
  std::vector<std::string> pieces;
  for (const int32_t token : tokens) pieces.push_back(engine.piece(token));
  return pieces;
}

struct Outputs {
  std::optional<OutputFile> page;
  std::optional<OutputFile> json;

  bool take_standard_output() const {
    return (page && page->is_standard_output()) || (json && json->is_standard_output());
  }
};

Result<Outputs> open_outputs(const ExplainFlags& flags) {
  InputFiles inputs = {"-"};
  inputs.add(flags.prompt.files);
  inputs.add_model(flags.model.path);
  inputs.add_presets(flags.model.path);
  Outputs outputs;
  if (!flags.no_page) {
    auto page = OutputFile::open(flags.output, inputs);
    if (!page) return tl::unexpected(page.error());
    outputs.page.emplace(std::move(*page));
  }
  if (!flags.json.empty()) {
    auto json = OutputFile::open(flags.json, inputs);
    if (!json) return tl::unexpected(json.error());
    outputs.json.emplace(std::move(*json));
  }
  return outputs;
}

Result<void> write(Outputs& outputs, const Explanation& explanation, double load_ms) {
  if (outputs.page) {
    if (auto written = outputs.page->write(explain_page(explanation)); !written) return written;
  }
  if (!outputs.json) return {};
  return outputs.json->write(json_line({{"version", 1},
                                        {"dense", make_record(explanation.dense, load_ms)},
                                        {"lazy", make_record(explanation.lazy, load_ms)}}));
}

int explain(const ExplainFlags& flags) {
  const Interrupt interrupt;
  auto prompt = read_prompt(flags.prompt, Terminal(flags.model.quiet));
  if (!prompt) return report_failure(kCommand, prompt.error());
  auto outputs = open_outputs(flags);
  if (!outputs) return report_failure(kCommand, outputs.error());
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  const Engine& engine = loaded->engine;
  auto context = resolve_context(flags.model, engine.info());
  if (!context) return wrong_usage(kCommand, context.error().message);
  const LazyOptions lazy = flags.lazy.resolve();
  if (auto stages = engine.resolve_schedule(lazy, *context); !stages)
    return report_schedule_error(kCommand, stages.error());
  auto tokens = tokenize(engine, flags, *prompt);
  if (!tokens) return report_failure(kCommand, tokens.error());
  if (auto fits = check_prompt_fits(tokens->size(), *context, engine.info()); !fits)
    return report_failure(kCommand, fits.error());

  const Terminal terminal(flags.model.quiet);
  terminal.note(model_summary(engine.info()));
  auto runs = Comparison(loaded->executor, flags, *context, interrupt).run(*tokens);
  if (!runs) return report_failure(kCommand, runs.error());
  std::string policy = runs->lazy.lazy.choice.policy;
  const Explanation explanation{engine.info(), prompt_pieces(engine, *tokens), std::move(runs->dense),
                                std::move(runs->lazy), std::move(policy)};
  if (!explanation.lazy.lazy_used) {
    terminal.note("the schedule is dense for this prompt: give one with --lazy, such as --lazy 50%:0.5");
  }
  if (auto written = write(*outputs, explanation, loaded->load_ms); !written)
    return report_failure(kCommand, written.error());
  if (outputs->take_standard_output()) return kExitDone;
  if (flags.colour || (wants_colour(Stream::kOutput) && tokens->size() <= kMostColouredTokens)) {
    std::printf("%s\n", explain_colours(explanation).c_str());
  }
  print_comparison(explanation, flags.no_page ? "" : flags.output);
  return kExitDone;
}

}  // namespace

int explain_command(const std::vector<std::string>& args) {
  ExplainFlags values;
  values.generate.options.sampling.temperature = 0;  // two answers can be compared only without chance
  Flags flags(kCommand, kSummary, kExamples);
  values.model.add_to(flags);
  values.prompt.add_to(flags);
  PromptFlags::add_special_to(flags, values.special);
  flags.add_switch("--chat", values.chat, "Put the prompt into the model's chat template");
  flags.add_text("--system", values.system, "TEXT", "System message; with --chat");
  flags.group("Output");
  flags.add_text("-o,--output", values.output, "FILE",
                 "The page; - for standard output; default explain.html");
  flags.add_switch("--no-page", values.no_page, "Write no page");
  flags.add_json(values.json, "Write the records of both answers as one JSON object");
  flags.add_switch("--color", values.colour,
                   "Print the prompt shaded by how many layers computed each token");
  values.lazy.add_to(flags);
  values.generate.add_to(flags, 64);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (!values.no_page && !values.json.empty() && is_same_file(values.output, values.json))
    return wrong_usage(kCommand, "--json and --output name one file");
  return guarded(kCommand, [&] { return explain(values); });
}

}  // namespace lazyfill::cli
