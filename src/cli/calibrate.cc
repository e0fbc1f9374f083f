// lazyfill calibrate: the fastest schedule at a given loss, kept as the model's preset.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/bench_text.h"
#include "cli/calibration_texts.h"
#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/fidelity.h"
#include "cli/options.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_loss.h"
#include "pruning/preset.h"
#include "pruning/schedule_search.h"

namespace lazyfill::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr char kCommand[] = "calibrate";
constexpr char kSummary[] =
    "Finds the schedule that is fastest at a given loss for this model, and keeps it for --lazy auto.";
constexpr char kExamples[] =
    "  lazyfill calibrate\n"
    "  lazyfill calibrate -m model.gguf --max-kl 0.02 --min-agreement 0.95\n"
    "  lazyfill calibrate -f mine-1.txt -f mine-2.txt --beside --json search.json\n";
constexpr Policy kPolicies[] = {Policy::kFocus, Policy::kWindow, Policy::kLazy};
constexpr double kWorthwhile = 0.9;  // share of the dense time below which a prompt length counts as gaining
constexpr size_t kTimedRounds = 3;

struct CalibrateFlags {
  ModelFlags model;
  std::vector<std::string> files;
  TextFlags text;
  float max_kl = 0.1F;
  float min_agreement = 0.85F;
  size_t n_tokens = 17;
  float minutes = 8;
  size_t n_candidates = 200;
  bool plain = false;
  bool beside = false;
  std::string out;
  std::string json;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Calibration {
 public:
  Calibration(const CalibrateFlags& flags, const Engine& engine, const Interrupt& interrupt)
      : flags_(flags),
        engine_(engine),
        interrupt_(interrupt),
        terminal_(flags.model.quiet),
        bar_(terminal_, "calibrate") {}

  Result<Preset> run() {
    if (auto read = read_texts(); !read) return tl::unexpected(read.error());
    auto cost = fit_cost();
    if (!cost) return tl::unexpected(cost.error());
    task_.cost = *cost;
    for (const auto& prompt : prompts_) {
      progress();
      auto dense = dense_reference(engine_, prompt, flags_.n_tokens, interrupt_.token());
      if (!dense) return tl::unexpected(dense.error());
      dense_.push_back(std::move(*dense));
    }
    auto found = search();
    if (!found) return tl::unexpected(found.error());
    return preset_of(*found);
  }

  // What was tried, for a plot of the frontier.
  Json report(const Preset& preset) const {
    return {{"version", 1},
            {"preset", Json::parse(preset_to_json(preset))},
            {"cost_model",
             {{"fixed_ms", task_.cost.fixed_ms},
              {"row_layer_ms", task_.cost.row_layer_ms},
              {"row_column_ms", task_.cost.row_column_ms}}},
            {"texts", prompts_.size()},
            {"typical_tokens", task_.n_tokens},
            {"seconds", seconds_since(start_)},
            {"candidates", trail_}};
  }

 private:
  Result<void> read_texts() {
    std::vector<std::string> texts;
    for (const std::string& file : flags_.files) {
      auto text = read_text_file(file, flags_.text);
      if (!text) return tl::unexpected(text.error());
      texts.push_back(std::move(*text));
    }
    if (texts.empty()) {
      for (std::string_view text : calibration_texts()) texts.emplace_back(text);
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      // Every other text as a chat message: both kinds of prompts will come.
      const bool chat = !flags_.plain && engine_.info().has_chat_template && i % 2 == 1;
      auto tokens = chat ? tokenize_conversation(engine_, {{"user", texts[i]}}) : engine_.tokenize(texts[i]);
      if (!tokens) return tl::unexpected(tokens.error());
      if (tokens->size() + flags_.n_tokens > engine_.info().context_length) {
        return fail(ErrorCode::kContextExceeded, "text " + std::to_string(i + 1) + " has " +
                                                     grouped(tokens->size()) +
                                                     " tokens, more than the model takes: shorten it");
      }
      if (tokens->size() < 16)
        return fail(ErrorCode::kInvalidArgument,
                    "text " + std::to_string(i + 1) + " has fewer than 16 tokens: there is nothing to prune");
      task_.n_tokens += tokens->size() / texts.size();
      prompts_.push_back(std::move(*tokens));
    }
    task_.max_measurements = flags_.n_candidates;
    task_.layers = engine_.info().prunable_layers;
    task_.layer_windows = engine_.info().layer_windows;
    task_.policies = {std::begin(kPolicies), std::end(kPolicies)};
    return {};
  }

  Result<double> prefill_ms(std::span<const int32_t> tokens, const LazyOptions& lazy) const {
    auto session = engine_.start_session({.context_tokens = tokens.size() + 1, .lazy = lazy});
    if (!session) return tl::unexpected(session.error());
    GenerateOptions options;
    options.max_tokens = 1;
    options.sampling.temperature = 0;
    auto generation = session->generate(tokens, options, {.stop = interrupt_.token()});
    if (!generation) return tl::unexpected(generation.error());
    return generation->timings.prefill_ms;
  }

  // Dense prefills of several lengths and a lazy one, in turn; of each the fastest counts.
  Result<CostModel> fit_cost() {
    auto tokens = engine_.tokenize(bench_text(task_.n_tokens));
    if (!tokens) return tl::unexpected(tokens.error());
    const size_t longest = std::min(tokens->size(), task_.n_tokens);
    struct Case {
      size_t n_tokens;
      LazyOptions lazy;
      double best_ms = 0;
    };
    LazyOptions dense;
    dense.schedule = "off";
    LazyOptions late;
    late.schedule = std::to_string(task_.layers[task_.layers.size() / 2]) + ":0.3";
    std::vector<Case> cases = {
        {longest, dense}, {longest / 2, dense}, {longest / 4, dense}, {longest / 8, dense}, {longest, late}};
    for (size_t round = 0; round < kTimedRounds; ++round) {
      for (Case& timed : cases) {
        progress();
        auto ms = prefill_ms(std::span<const int32_t>(*tokens).first(timed.n_tokens), timed.lazy);
        if (!ms) return tl::unexpected(ms.error());
        timed.best_ms = round == 0 ? *ms : std::min(timed.best_ms, *ms);
      }
    }
    std::vector<TimedPrefill> timed;
    for (const Case& c : cases) {
      auto stages = engine_.resolve_schedule(c.lazy, c.n_tokens);
      if (!stages) return tl::unexpected(stages.error());
      timed.push_back({prefill_work(c.n_tokens, *stages, task_.layer_windows), c.best_ms});
    }
    return fit_cost_model(timed);
  }

  Result<SearchResult> search() {
    LossJudge judge({flags_.max_kl, flags_.min_agreement}, prompts_.size());
    return search_schedule(task_, [&](const ScheduleCandidate& candidate) -> Result<bool> {
      LazyOptions lazy;
      lazy.schedule = format_schedule(candidate.stages);
      lazy.policy = candidate.policy;
      lazy.max_revived = kReviveAll;  // as with every preset
      auto verdict = judge.judge([&](size_t text) -> Result<TextLoss> {
        progress();
        if (seconds_since(start_) > static_cast<double>(flags_.minutes) * 60)
          return fail(ErrorCode::kCancelled, "the time for the search is over");
        auto loss = measure_fidelity(engine_, dense_[text], lazy, interrupt_.token());
        if (!loss) return tl::unexpected(loss.error());
        return TextLoss{loss->mean_kl, loss->agreement};
      });
      if (!verdict) return tl::unexpected(verdict.error());
      remember(candidate, *verdict);
      return verdict->within;
    });
  }

  void remember(const ScheduleCandidate& candidate, const LossJudge::Verdict& verdict) {
    const double dense_ms = task_.cost.predict_ms(prefill_work(task_.n_tokens, {}, task_.layer_windows));
    trail_.push_back({{"schedule", format_schedule(candidate.stages)},
                      {"policy", policy_name(candidate.policy)},
                      {"predicted_speed_up", dense_ms / candidate.predicted_ms},
                      {"kl", verdict.mean.kl},
                      {"agreement", verdict.mean.agreement},
                      {"texts", verdict.n_measured},
                      {"within", verdict.within}});
    if (!verdict.within) return;
    best_loss_ = verdict.mean;
    bar_.clear();
    terminal_.note(fixed(dense_ms / candidate.predicted_ms, 2) + "x predicted, KL " +
                   fixed(verdict.mean.kl, 4) + ", agreement " + fixed(verdict.mean.agreement * 100, 1) +
                   "%: " + format_schedule(candidate.stages) + " " +
                   std::string(policy_name(candidate.policy)));
  }

  Result<Preset> preset_of(const SearchResult& found) {
    if (interrupt_.fired()) return fail(ErrorCode::kCancelled, "stopped; nothing was kept");
    Preset preset;
    preset.fingerprint = engine_.info().fingerprint;
    preset.model = engine_.info().name;
    preset.lazy.schedule = format_schedule(found.best.stages);
    preset.lazy.policy = found.best.policy;
    preset.max_kl = round_to(flags_.max_kl, 6);
    preset.min_agreement = round_to(flags_.min_agreement, 6);
    preset.kl = round_to(best_loss_.kl, 4);
    preset.agreement = round_to(best_loss_.agreement, 4);
    preset.min_tokens = shortest_gaining(found.best.stages);
    auto speed_up = measured_speed_up(preset.lazy);
    if (!speed_up) return tl::unexpected(speed_up.error());
    preset.speed_up = round_to(*speed_up, 2);
    bar_.clear();
    return preset;
  }

  static double round_to(double value, int n_digits) { return std::stod(fixed(value, n_digits)); }

  // Where the cost model sees a gain; but not far below the shortest text, of whose like no loss was
  // measured.
  size_t shortest_gaining(const std::vector<ScheduleStage>& stages) const {
    size_t shortest = prompts_.front().size();
    for (const auto& prompt : prompts_) shortest = std::min(shortest, prompt.size());
    for (size_t n = std::max<size_t>(shortest / 2, 1); n < task_.n_tokens; n += 32) {
      const auto ms = [&](std::span<const ScheduleStage> schedule) {
        return task_.cost.predict_ms(prefill_work(n, schedule, task_.layer_windows));
      };
      if (ms(stages) <= kWorthwhile * ms({})) return n;
    }
    return task_.n_tokens;
  }

  // On the longest text, dense and lazy in turn, the fastest of each.
  Result<double> measured_speed_up(const LazyOptions& lazy) {
    if (lazy.schedule == "off") return 1;
    const auto& longest = *std::max_element(prompts_.begin(), prompts_.end(),
                                            [](const auto& a, const auto& b) { return a.size() < b.size(); });
    LazyOptions off;
    off.schedule = "off";
    double dense_ms = 0;
    double lazy_ms = 0;
    for (size_t round = 0; round < kTimedRounds; ++round) {
      progress();
      auto dense = prefill_ms(longest, off);
      auto pruned = prefill_ms(longest, lazy);
      if (!dense || !pruned) return tl::unexpected((dense ? pruned : dense).error());
      dense_ms = round == 0 ? *dense : std::min(dense_ms, *dense);
      lazy_ms = round == 0 ? *pruned : std::min(lazy_ms, *pruned);
    }
    return dense_ms / lazy_ms;
  }

  void progress() {
    const double limit = static_cast<double>(flags_.minutes) * 60;
    bar_.update({.layer = trail_.size(),
                 .n_layers = task_.max_measurements,
                 .rows = task_.n_tokens,
                 .fraction = std::min(seconds_since(start_) / limit, 1.0)});
  }

  const CalibrateFlags& flags_;
  const Engine& engine_;
  const Interrupt& interrupt_;
  Terminal terminal_;
  ProgressBar bar_;
  Clock::time_point start_ = Clock::now();
  SearchTask task_;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<DenseReference> dense_;  // one a prompt
  TextLoss best_loss_{0, 1};           // of the best candidate so far; dense has none
  Json trail_ = Json::array();
};

Result<std::string> preset_path(const CalibrateFlags& flags, const ModelInfo& info) {
  if (!flags.out.empty()) return flags.out;
  if (flags.beside) {
    return resolve_model_path(flags.model.path).map([](const std::string& path) {
      return path + ".preset.json";
    });
  }
  const std::string folder = user_preset_folder();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot make the folder " + quote(folder) + ": " + error.message() + "; give --out FILE");
  }
  return folder + "/" + info.fingerprint + ".json";
}

int calibrate(const CalibrateFlags& flags) {
  const Interrupt interrupt;
  std::optional<OutputFile> json;
  if (!flags.json.empty()) {
    auto opened = OutputFile::open(flags.json);
    if (!opened) return report_failure(kCommand, opened.error());
    json.emplace(std::move(*opened));
  }
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  const Engine& engine = loaded->engine;
  if (engine.info().prunable_layers.empty())
    return report_failure(kCommand, {ErrorCode::kUnsupported, "this model has no layer that can prune"});
  auto path = preset_path(flags, engine.info());
  if (!path) return report_failure(kCommand, path.error());
  auto output = OutputFile::open(*path);
  if (!output) return report_failure(kCommand, output.error());
  const Terminal terminal(flags.model.quiet);
  terminal.note(model_summary(engine.info()));

  Calibration calibration(flags, engine, interrupt);
  auto preset = calibration.run();
  if (!preset) return report_failure(kCommand, preset.error());
  if (auto written = output->write(preset_to_json(*preset)); !written)
    return report_failure(kCommand, written.error());
  if (json) {
    if (auto written = json->write(json_line(calibration.report(*preset))); !written)
      return report_failure(kCommand, written.error());
  }
  if (*path != "-" && flags.json != "-") {
    std::printf("%s --policy %s: %.2fx the prefill speed, KL %.4f, agreement %.1f%%\n",
                preset->lazy.schedule.c_str(), std::string(policy_name(preset->lazy.policy)).c_str(),
                preset->speed_up, preset->kl, preset->agreement * 100);
  }
  terminal.note("kept in " + *path);
  return kExitDone;
}

}  // namespace

int calibrate_command(const std::vector<std::string>& args) {
  CalibrateFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  values.model.add_to(flags);
  flags.group("Loss");
  flags.add_real("--max-kl", values.max_kl, 0, 100,
                 "KL divergence from the dense model at most, in nats a token; default 0.1");
  flags.add_real("--min-agreement", values.min_agreement, 0, 1,
                 "Share of tokens where lazy and dense find the same one likeliest; default 0.85");
  flags.add_count("--tokens", values.n_tokens, 1, 1024,
                  "Tokens of each answer that are compared; default 17");
  flags.group("Search");
  flags.add_texts("-f,--file", values.files, "FILE",
                  "A text to measure on; may be given several times; default: built-in texts");
  values.text.add_to(flags);
  flags.add_switch("--plain", values.plain, "No text as a chat message; default: every other one");
  flags.add_real("--minutes", values.minutes, 0.01F, 10000, "End the search after this time; default 8");
  flags.add_count("--candidates", values.n_candidates, 1, 100000,
                  "End the search after so many candidates; default 200");
  flags.group("Result");
  flags.add_switch("--beside", values.beside, "Keep the preset beside the model, not in the user's cache");
  flags.add_text("--out", values.out, "FILE", "Keep the preset in this file; - for standard output");
  flags.add_text("--json", values.json, "FILE", "Write all that was tried, for a plot");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (values.beside && !values.out.empty())
    return wrong_usage(kCommand, "--beside and --out name two places: give one");
  return guarded(kCommand, [&] { return calibrate(values); });
}

}  // namespace lazyfill::cli
