// lazyfill bench: TTFT, prefill and decode speed over prompt lengths and schedules.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/bench_text.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kCommand[] = "bench";
constexpr char kSummary[] = "Measures TTFT, prefill and decode speed over prompt lengths and schedules.";
constexpr char kExamples[] =
    "  lazyfill bench\n"
    "  lazyfill bench --lengths 1024,4096 --lazy off --lazy 9:0.5,15:0.5,22:0.5\n"
    "  lazyfill bench -f report.txt --repeat 5 --json bench.json\n";
constexpr size_t kMostLength = size_t{1} << 24;

struct BenchFlags {
  ModelFlags model;
  LazyFlags lazy;
  std::vector<std::string> schedules;
  std::vector<size_t> lengths;
  std::vector<std::string> files;
  TextFlags text;
  std::string json;
  size_t n_tokens = 16;
  size_t n_repeats = 3;
};

// One cell of the table: a prompt length under a schedule.
struct Case {
  size_t length = 0;
  std::string schedule;
  std::string resolved;  // what it means for this model and length
  std::string applied;   // the same with sparse attention
  double attention_mass = 1;
  std::vector<double> ttft_ms;
  std::vector<double> prefill_tokens_per_s;
  std::vector<double> decode_tokens_per_s;
  uint64_t kv_bytes = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double best(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}
double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

Result<void> measure(const Executor& executor, const BenchFlags& flags, const std::vector<int32_t>& tokens,
                     const Interrupt& interrupt, Case& result) {
  LazyOptions lazy = flags.lazy.resolve();
  lazy.schedule = result.schedule;
  auto session = executor.start_session({.context_tokens = result.length + flags.n_tokens, .lazy = lazy});
  if (!session) return tl::unexpected(session.error());
  GenerateOptions options;
  options.max_tokens = flags.n_tokens;
  options.sampling.temperature = 0;
  options.stop_at_end_token = false;  // every case decodes the same number of tokens
  auto generation = session->generate({tokens.data(), result.length}, options, {.stop = interrupt.token()});
  if (!generation) return tl::unexpected(generation.error());
  if (interrupt.fired()) return fail(ErrorCode::kCancelled, "stopped");
  result.ttft_ms.push_back(generation->timings.ttft_ms);
  result.prefill_tokens_per_s.push_back(prefill_tokens_per_s(*generation));
  result.decode_tokens_per_s.push_back(decode_tokens_per_s(*generation));
  result.resolved = schedule_text(generation->lazy.schedule);
  result.applied = lazy_text(generation->lazy);
  result.attention_mass = std::stod(short_number(generation->lazy.choice.attention_mass));
  result.kv_bytes = generation->memory.kv_bytes;
  return {};
}

// Rounds go over all cases in turn, so that a slow spell of the machine hits every case alike.
Result<void> measure_all(const Executor& executor, const BenchFlags& flags,
                         const std::vector<int32_t>& tokens, const Interrupt& interrupt,
                         std::vector<Case>& cases) {
  const Terminal terminal(flags.model.quiet);
  Case warm_up{.length = std::min<size_t>(tokens.size(), 256), .schedule = "off"};
  if (auto done = measure(executor, flags, tokens, interrupt, warm_up); !done) return done;
  ProgressBar bar(terminal, "bench");
  for (size_t round = 0; round < flags.n_repeats; ++round) {
    for (size_t i = 0; i < cases.size(); ++i) {
      const size_t n_done = round * cases.size() + i;
      bar.update(
          {.layer = round,
           .n_layers = flags.n_repeats,
           .rows = cases[i].length,
           .fraction = static_cast<double>(n_done) / static_cast<double>(flags.n_repeats * cases.size())});
      if (auto done = measure(executor, flags, tokens, interrupt, cases[i]); !done) return done;
    }
  }
  return {};
}

// The dense case of the same length; null when it was not measured.
const Case* dense_case(const std::vector<Case>& cases, size_t length) {
  for (const Case& candidate : cases) {
    if (candidate.length == length && candidate.schedule == "off") return &candidate;
  }
  return nullptr;
}

void print_table(const std::vector<Case>& cases) {
  std::printf("%8s  %-26s%11s%11s%9s%14s%13s\n", "tokens", "schedule", "TTFT", "median", "vs off",
              "prefill tok/s", "decode tok/s");
  for (const Case& result : cases) {
    const Case* dense = dense_case(cases, result.length);
    const std::string ratio =
        dense == nullptr ? "" : fixed(least(dense->ttft_ms) / least(result.ttft_ms), 2) + "x";
    const std::string name =
        result.schedule == result.applied ? result.schedule : result.schedule + " (" + result.applied + ")";
    std::printf("%8s  %-26s%11s%11s%9s%14s%13s\n", grouped(result.length).c_str(), name.c_str(),
                duration_text(least(result.ttft_ms)).c_str(), duration_text(median(result.ttft_ms)).c_str(),
                ratio.c_str(), grouped(static_cast<uint64_t>(best(result.prefill_tokens_per_s))).c_str(),
                fixed(best(result.decode_tokens_per_s), 1).c_str());
  }
}

Json bench_json(const std::vector<Case>& cases, const BenchFlags& flags, const ModelInfo& info) {
  Json list = Json::array();
  for (const Case& result : cases) {
    list.push_back(
        {{"prompt_tokens", result.length},
         {"lazy", result.schedule},
         {"schedule", result.resolved},
         {"sparse_attention", result.attention_mass},
         {"ttft_ms",
          {{"min", least(result.ttft_ms)}, {"median", median(result.ttft_ms)}, {"all", result.ttft_ms}}},
         {"prefill_tokens_per_s",
          {{"max", best(result.prefill_tokens_per_s)}, {"median", median(result.prefill_tokens_per_s)}}},
         {"decode_tokens_per_s",
          {{"max", best(result.decode_tokens_per_s)}, {"median", median(result.decode_tokens_per_s)}}},
         {"kv_bytes", result.kv_bytes}});
    if (const Case* dense = dense_case(cases, result.length)) {
      list.back()["ttft_ratio"] = least(dense->ttft_ms) / least(result.ttft_ms);
    }
  }
  return {{"version", 1},
          {"model",
           {{"name", info.name},
            {"architecture", info.architecture},
            {"file_bytes", info.file_bytes},
            {"isa", info.isa},
            {"activation_bits", activation_bits(info)}}},
          {"threads", flags.model.n_threads},
          {"repeats", flags.n_repeats},
          {"decoded_tokens", flags.n_tokens},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"cases", std::move(list)}};
}

Result<std::vector<int32_t>> prompt_tokens(const Engine& engine, const BenchFlags& flags, size_t n_tokens) {
  auto text = read_text_files(flags.files, flags.text);
  if (!text) return tl::unexpected(text.error());
  auto tokens = engine.tokenize(flags.files.empty() ? bench_text(n_tokens) : *text);
  if (tokens && tokens->size() < n_tokens) {
    return fail(ErrorCode::kInvalidArgument,
                "the text of -f has " + grouped(tokens->size()) +
                    " tokens, fewer than the longest of --lengths: give shorter --lengths");
  }
  return tokens;
}

// The lengths that fit, with a warning for those that do not; nothing when none does.
std::vector<size_t> fitting_lengths(const BenchFlags& flags, size_t context_tokens) {
  const bool given = !flags.lengths.empty();
  std::vector<size_t> fitting;
  for (const size_t length : given ? flags.lengths : std::vector<size_t>{512, 1024, 2048, 4096}) {
    if (length + flags.n_tokens <= context_tokens) {
      fitting.push_back(length);
    } else if (given) {
      Terminal(flags.model.quiet)
          .warn("left out " + grouped(length) + " tokens: with -n " + grouped(flags.n_tokens) +
                " they do not fit into the context of " + grouped(context_tokens));
    }
  }
  return fitting;
}

int bench(const BenchFlags& flags) {
  const Interrupt interrupt;
  std::optional<OutputFile> output;
  if (!flags.json.empty()) {
    InputFiles inputs = {"-"};
    inputs.add(flags.files);
    inputs.add_model(flags.model.path);
    inputs.add_presets(flags.model.path);
    auto opened = OutputFile::open(flags.json, inputs);
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  const Engine& engine = loaded->engine;
  auto context = resolve_context(flags.model, engine.info());
  if (!context) return wrong_usage(kCommand, context.error().message);
  const std::vector<size_t> lengths = fitting_lengths(flags, *context);
  if (lengths.empty())
    return report_failure(
        kCommand, {ErrorCode::kContextExceeded, "no prompt length fits into the context of " +
                                                    grouped(*context) + " tokens: give shorter --lengths"});
  std::vector<Case> cases;
  for (const size_t length : lengths) {
    for (const std::string& schedule : flags.schedules) {
      LazyOptions lazy = flags.lazy.resolve();
      lazy.schedule = schedule;
      auto stages = engine.resolve_schedule(lazy, length);
      if (!stages) return report_schedule_error(kCommand, stages.error());
      cases.push_back({.length = length, .schedule = schedule});
    }
  }
  auto tokens = prompt_tokens(engine, flags, *std::max_element(lengths.begin(), lengths.end()));
  if (!tokens) return report_failure(kCommand, tokens.error());
  Terminal(flags.model.quiet).note(model_summary(engine.info()));
  if (auto done = measure_all(loaded->executor, flags, *tokens, interrupt, cases); !done)
    return report_failure(kCommand, done.error());
  if (!output || !output->is_standard_output()) print_table(cases);
  if (output) {
    if (auto written = output->write(json_line(bench_json(cases, flags, engine.info()))); !written) {
      return report_failure(kCommand, written.error());
    }
  }
  return kExitDone;
}

}  // namespace

int bench_command(const std::vector<std::string>& args) {
  BenchFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  values.model.add_to(flags);
  flags.group("Measurement");
  flags.add_counts("--lengths", values.lengths, 2, kMostLength,
                   "Prompt lengths in tokens; default 512,1024,2048,4096");
  flags.add_texts("--lazy", values.schedules, "off|auto|fast|LAYER:KEEP,...",
                  "A preset or a schedule; may be given several times; default off and auto");
  flags.add_texts("-f,--file", values.files, "FILE",
                  "Prompt text; several follow one another; default: a built-in text of common words");
  values.text.add_to(flags);
  flags.add_count("-n,--max-tokens", values.n_tokens, 1, 4096, "Tokens to decode; default 16");
  flags.add_count("--repeat", values.n_repeats, 1, 1000, "Rounds over all cases; default 3");
  flags.add_json(values.json, "Write the figures as JSON");
  values.lazy.add_to(flags, false);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (values.schedules.empty()) values.schedules = {"off", "auto"};
  return guarded(kCommand, [&] { return bench(values); });
}

}  // namespace lazyfill::cli
