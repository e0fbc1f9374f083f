// lazyfill doctor: what this machine has, what that means for a model, and what is in the way.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench_text.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prefill_clock.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "kernels/kernels.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kDoctor[] = "doctor";
constexpr char kSummary[] =
    "What this machine has, how soon a model's first token comes on it, and what is in the way. Takes some "
    "seconds.";
constexpr char kExamples[] =
    "  lazyfill doctor                 # with the default model, if it is there\n"
    "  lazyfill doctor -m model.gguf\n"
    "  lazyfill doctor --json\n";

constexpr size_t kLengths[] = {1024, 4096, 8192};
constexpr const char* kSchedules[] = {"off", "auto", "fast"};

struct Bandwidth {
  double one = 0;  // bytes a second, one thread
  double all = 0;
};

struct Expected {
  size_t n_tokens = 0;
  std::vector<double> ttft_ms;  // of kSchedules
};

// What the model would do here.
struct ModelReport {
  ModelInfo info;
  uint64_t context_bytes = 0;  // keys and values of the longest of kLengths that fits
  size_t n_measured = 0;       // tokens of the longest prompt that was computed for it
  std::vector<Expected> expected;
  double decode_tokens_per_s = 0;
  bool has_preset = false;
};

// A first step of 64 tokens says how many can be afforded: all prompts of the fit together take about three
// times as long as the longest of them.
Result<size_t> affordable_tokens(const Executor& executor, const std::vector<int32_t>& tokens) {
  constexpr size_t kFirst = 64;
  constexpr double kLongestMs = 700;
  auto session = executor.start_session({.context_tokens = kFirst + 1, .lazy = {.schedule = "off"}});
  if (!session) return tl::unexpected(session.error());
  double ms = 0;
  for (int round = 0; round < 2; ++round) {  // the first one touches all weights
    if (auto empty = session->rewind(0); !empty) return tl::unexpected(empty.error());
    GenerateOptions options;
    options.max_tokens = 1;
    auto generation = session->generate(std::span(tokens).first(kFirst), options, {});
    if (!generation) return tl::unexpected(generation.error());
    ms = generation->timings.prefill_ms;
  }
  const double affordable = kLongestMs / std::max(ms, 0.01) * kFirst;
  return std::clamp<size_t>(static_cast<size_t>(affordable), 128, tokens.size());
}

Result<ModelReport> examine(const ModelFlags& flags, double bandwidth, const std::stop_token& stop) {
  auto loaded = load_engine(flags);
  if (!loaded) return tl::unexpected(loaded.error());
  const Engine& engine = loaded->engine;
  ModelReport report;
  report.info = engine.info();
  const size_t context = report.info.context_length;
  const size_t n_most = std::min<size_t>(context - 1, 2048);
  auto tokens = engine.tokenize(bench_text(n_most));
  if (!tokens) return tl::unexpected(tokens.error());
  tokens->resize(std::min(tokens->size(), n_most));
  if (tokens->size() < 128 || report.info.prunable_layers.empty()) return report;  // too little to time
  auto n_measured = affordable_tokens(loaded->executor, *tokens);
  if (!n_measured) return tl::unexpected(n_measured.error());
  report.n_measured = *n_measured;
  tokens->resize(*n_measured);
  const PrefillClock clock(loaded->executor, std::move(*tokens), stop, [] {});
  auto model = clock.fit({}, 2);
  if (!model) return tl::unexpected(model.error());
  for (const size_t length : kLengths) {
    if (length > context) continue;
    Expected expected{length, {}};
    for (const char* schedule : kSchedules) {
      auto stages = engine.resolve_schedule({.schedule = schedule}, length);
      if (!stages) return tl::unexpected(stages.error());
      expected.ttft_ms.push_back(model->predict_ms(prefill_work(length, *stages, report.info.layer_windows)));
    }
    report.expected.push_back(std::move(expected));
    report.context_bytes = uint64_t{length} * report.info.n_layers * report.info.n_kv_heads *
                           report.info.head_dim * 2 * (flags.kv == 1 ? 17 : 32) / 16;
  }
  // A token of the answer reads all weights once.
  report.decode_tokens_per_s = bandwidth / static_cast<double>(std::max<uint64_t>(report.info.file_bytes, 1));
  return report;
}

std::vector<std::string> isa_obstacles(const ModelInfo* info) {
  std::vector<std::string> sentences;
  std::string best;
  for (const InstructionSet& set : instruction_sets()) {
    if (const std::string obstacle = set.obstacle(); obstacle.empty()) {
      best = set.name;
    } else if (set.name != "amx") {
      sentences.push_back("no " + std::string(set.name) + " here: " + obstacle +
                          "; other kernels are used, more slowly");
    } else {
      sentences.push_back("no matrix tiles (amx): " + obstacle);
    }
  }
  // Less than the best is taken only where it is asked for.
  if (info != nullptr && info->isa != best)
    sentences.push_back("LAZYFILL_ISA asks for " + info->isa + ": without it the faster kernels of " + best +
                        " are taken");
  return sentences;
}

std::vector<std::string> model_obstacles(const ModelReport& report, const Machine& machine) {
  std::vector<std::string> sentences;
  const uint64_t needed = report.info.file_bytes + report.context_bytes;
  if (machine.free_bytes > 0 && needed > machine.free_bytes) {
    sentences.push_back("the model and a long prompt need about " + bytes_text(needed) + " of memory, and " +
                        bytes_text(machine.free_bytes) +
                        " are free: take a smaller model or quantisation, or --kv q8_0");
  }
  return sentences;
}

Json report_json(const Machine& machine, const Bandwidth& bandwidth, const std::optional<ModelReport>& model,
                 const std::vector<std::string>& sentences) {
  Json sets = Json::array();
  for (const InstructionSet& set : instruction_sets())
    if (set.obstacle().empty()) sets.push_back(std::string(set.name));
  Json report = {{"processor", machine.processor},
                 {"cores", machine.n_cores},
                 {"usable_cores", machine.n_usable_cores},
                 {"cpu_limit", machine.cpu_limit > 0 ? Json(machine.cpu_limit) : Json(nullptr)},
                 {"instruction_sets", std::move(sets)},
                 {"memory_bytes", machine.memory_bytes},
                 {"free_bytes", machine.free_bytes},
                 {"memory_limit_bytes", machine.limit_bytes > 0 ? Json(machine.limit_bytes) : Json(nullptr)},
                 {"huge_pages", machine.huge_pages},
                 {"bandwidth_one_thread_bytes_per_s", bandwidth.one},
                 {"bandwidth_bytes_per_s", bandwidth.all},
                 {"in_the_way", sentences},
                 {"model", nullptr}};
  if (!model) return report;
  Json expected = Json::array();
  for (const Expected& one : model->expected) {
    expected.push_back(
        {{"prompt_tokens", one.n_tokens},
         {"ttft_ms", {{"off", one.ttft_ms[0]}, {"auto", one.ttft_ms[1]}, {"fast", one.ttft_ms[2]}}}});
  }
  report["model"] = {{"name", model->info.name},
                     {"isa", model->info.isa},
                     {"file_bytes", model->info.file_bytes},
                     {"measured_tokens", model->n_measured},
                     {"expected", std::move(expected)},
                     {"decode_tokens_per_s_at_most", model->decode_tokens_per_s}};
  return report;
}

void print_machine(const Machine& machine, const Bandwidth& bandwidth) {
  std::vector<std::string> sets;
  for (const InstructionSet& set : instruction_sets())
    if (set.obstacle().empty()) sets.emplace_back(set.name);
  std::printf("processor   %s, %s of %s cores\n", printable(machine.processor).c_str(),
              grouped(machine.n_threads()).c_str(), grouped(machine.n_cores).c_str());
  std::printf("kernels     %s\n", join(sets, ", ").c_str());
  std::printf("memory      %s, %s free\n", bytes_text(machine.memory_bytes).c_str(),
              bytes_text(machine.free_bytes).c_str());
  if (bandwidth.all > 0) {
    std::printf("bandwidth   %s GB/s with one thread, %s GB/s with all\n",
                fixed(bandwidth.one / 1e9, 1).c_str(), fixed(bandwidth.all / 1e9, 1).c_str());
  }
  if (!machine.huge_pages.empty()) std::printf("huge pages  %s\n", printable(machine.huge_pages).c_str());
}

void print_model(const ModelReport& report) {
  std::printf("\nmodel       %s\n", model_summary(report.info).c_str());
  if (report.expected.empty()) return;
  std::printf(
      "\nTime to the first token that is to be expected, from prompts of up to %s tokens that were "
      "timed:\n\n",
      grouped(report.n_measured).c_str());
  std::printf("  %-10s%12s%12s%12s\n", "prompt", "dense", "auto", "fast");
  for (const Expected& one : report.expected) {
    std::printf("  %-10s", grouped(one.n_tokens).c_str());
    for (const double ms : one.ttft_ms) std::printf("%12s", duration_text(ms).c_str());
    std::printf("\n");
  }
  if (report.decode_tokens_per_s > 0) {
    std::printf("\nAfter it at most %s tokens a second: so often all weights can be read.\n",
                fixed(report.decode_tokens_per_s, 0).c_str());
  }
}

int doctor(const ModelFlags& flags, const std::string& json) {
  const Interrupt interrupt;
  const Machine machine = read_machine();
  const size_t n_threads = flags.n_threads > 0 ? flags.n_threads : machine.n_threads();
  const Bandwidth bandwidth{measure_bandwidth(1), measure_bandwidth(n_threads)};
  std::vector<std::string> sentences = obstacles(machine);
  std::optional<ModelReport> model;
  if (!flags.path.empty() || std::filesystem::is_regular_file(likely_model_path(flags.path))) {
    auto examined = examine(flags, bandwidth.all, interrupt.token());
    if (!examined) return report_failure(kDoctor, examined.error());
    model = std::move(*examined);
  }
  for (std::string& sentence : isa_obstacles(model ? &model->info : nullptr))
    sentences.push_back(std::move(sentence));
  if (model)
    for (std::string& sentence : model_obstacles(*model, machine)) sentences.push_back(std::move(sentence));
  if (!json.empty()) {
    InputFiles inputs;
    inputs.add_model(flags.path);
    auto output = OutputFile::open(json, inputs);
    if (!output) return report_failure(kDoctor, output.error());
    if (auto written = output->write(json_line(report_json(machine, bandwidth, model, sentences))); !written)
      return report_failure(kDoctor, written.error());
    if (json == "-") return kExitDone;
  }
  print_machine(machine, bandwidth);
  if (model) {
    print_model(*model);
  } else {
    std::printf(
        "\nNo model was given and the default one is not here: -m MODEL.gguf says what to expect of it.\n");
  }
  std::printf(sentences.empty() ? "\nNothing is in the way.\n" : "\nIn the way:\n");
  for (const std::string& sentence : sentences) std::printf("  - %s\n", printable(sentence).c_str());
  return kExitDone;
}

}  // namespace

int doctor_command(const std::vector<std::string>& args) {
  return guarded(kDoctor, [&] {
    ModelFlags model;
    std::string json;
    Flags flags(kDoctor, kSummary, kExamples);
    model.add_to(flags);
    flags.add_json(json, "Write all of it as one JSON object");
    if (const auto exit_code = flags.parse(args)) return *exit_code;
    return doctor(model, json);
  });
}

}  // namespace lazyfill::cli
