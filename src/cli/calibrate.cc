// lazyfill calibrate: the fastest schedule at a given loss, kept as a preset of the model.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/calibration_texts.h"
#include "cli/command.h"
#include "cli/fidelity.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prefill_clock.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "cli/text_loss.h"
#include "conversation/conversation.h"
#include "engine/presets.h"
#include "pruning/policy.h"
#include "pruning/preset.h"
#include "pruning/schedule.h"
#include "pruning/schedule_search.h"

namespace lazyfill::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr char kCommand[] = "calibrate";
constexpr char kSummary[] =
    "Finds the schedule that is fastest at a given loss for this model, and keeps it for --lazy auto or "
    "fast.";
constexpr char kExamples[] =
    "  lazyfill calibrate\n"
    "  lazyfill calibrate --quick\n"
    "  lazyfill calibrate --preset fast\n"
    "  lazyfill calibrate -m model.gguf --max-kl 0.02 --min-agreement 0.95\n"
    "  lazyfill calibrate --schedule 8:0.5,14:0.5 --sparse-attention 0.95     # keeps this one\n"
    "  lazyfill calibrate -f mine-1.txt -f mine-2.txt --beside --json search.json\n";
constexpr double kWorthwhile = 0.9;  // share of the dense time below which a prompt length counts as gaining
// Sparser attention loses more; what saves hardly more than the one before is not tried.
constexpr double kMasses[] = {0.98, 0.95, 0.9, 0.85};
// A quick search has the time to measure one.
constexpr double kQuickMass = 0.95;
constexpr double kTimingShare = 0.3;      // of the minutes, for the cost model
constexpr double kLastTimingShare = 0.1;  // kept for the speed of what was found
constexpr float kMinutes = 9;
constexpr float kQuickMinutes = 1.5F;
// Of each kind, where the user names none.
constexpr LossTarget kTargets[] = {{0.2, 0.85}, {0.25, 0.8}};

struct CalibrateFlags {
  ModelFlags model;
  std::vector<std::string> files;
  TextFlags text;
  size_t preset = 0;  // index into kPresetKinds
  std::optional<float> max_kl;
  std::optional<float> min_agreement;
  size_t prompt_tokens = 4096;
  size_t n_tokens = 17;
  bool quick = false;
  std::optional<float> minutes;
  size_t n_candidates = 200;
  std::string schedule;  // to be kept without a search
  size_t policy = 0;     // index into searched_policies()
  float attention_mass = 1;
  bool plain = false;
  bool beside = false;
  std::string out;
  std::string json;
};

LossTarget target_of(const CalibrateFlags& flags) {
  LossTarget target = kTargets[flags.preset];
  if (flags.max_kl) target.max_kl = static_cast<double>(*flags.max_kl);
  if (flags.min_agreement) target.min_agreement = static_cast<double>(*flags.min_agreement);
  return target;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// As flags, for people to try it.
std::string flags_text(const std::string& schedule, Policy policy, double attention_mass) {
  std::string text = schedule + " --policy " + std::string(policy_name(policy));
  if (attention_mass < 1) text += " --sparse-attention " + short_number(attention_mass);
  return text;
}

class Calibration {
 public:
  Calibration(const CalibrateFlags& flags, const Executor& executor, const Interrupt& interrupt)
      : flags_(flags),
        executor_(executor),
        engine_(executor.engine()),
        interrupt_(interrupt),
        target_(target_of(flags)),
        terminal_(flags.model.quiet),
        bar_(terminal_, "calibrate") {}

  Result<Preset> run() {
    if (auto read = read_texts(); !read) return tl::unexpected(read.error());
    const PrefillClock clock(executor_, timed_text(), interrupt_.token(), [this] { progress(); });
    auto cost = clock.fit(masses(), limit_seconds() * kTimingShare);
    if (!cost) return tl::unexpected(cost.error());
    task_.cost = std::move(*cost);
    for (const SparseSaving& saving : task_.cost.savings)
      task_.attention_masses.push_back(saving.attention_mass);
    for (const auto& prompt : prompts_) {
      progress();
      auto dense = dense_reference(executor_, prompt, flags_.n_tokens, interrupt_.token());
      if (!dense) return tl::unexpected(dense.error());
      dense_.push_back(std::move(*dense));
    }
    auto found = search();
    if (!found) return tl::unexpected(found.error());
    return preset_of(*found, clock);
  }

  // What was tried, for a plot of the frontier.
  Json report(const Preset& preset) const {
    Json savings = Json::array();
    for (const SparseSaving& saving : task_.cost.savings)
      savings.push_back({{"mass", saving.attention_mass}, {"saved", saving.share}});
    return {{"version", 1},
            {"preset", Json::parse(preset_to_json(preset))},
            {"cost_model",
             {{"fixed_ms", task_.cost.fixed_ms},
              {"row_layer_ms", task_.cost.row_layer_ms},
              {"row_column_ms", task_.cost.row_column_ms}}},
            {"sparse_attention", {{"savings", std::move(savings)}, {"above_stages", task_.cost.thinned}}},
            {"texts", prompts_.size()},
            {"prompt_tokens", task_.n_tokens},
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
      prompts_.push_back(std::move(*tokens));
    }
    // One token more is generated.
    task_.n_tokens = std::min(flags_.prompt_tokens, engine_.info().context_length - 1);
    task_.max_measurements = flags_.n_candidates;
    task_.layers = engine_.info().prunable_layers;
    task_.layer_windows = engine_.info().layer_windows;
    task_.policies = searched_policies();
    task_.quick = flags_.quick;
    return {};
  }

  // Prompts of the length whose time is to be short: the texts one after another, as often as it takes. What
  // sparse attention saves depends on the text, so made-up sentences will not do.
  std::vector<int32_t> timed_text() const {
    std::vector<int32_t> tokens;
    while (tokens.size() < task_.n_tokens) {
      for (const auto& prompt : prompts_) tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    }
    tokens.resize(task_.n_tokens);
    return tokens;
  }

  double limit_seconds() const {
    return static_cast<double>(flags_.minutes.value_or(flags_.quick ? kQuickMinutes : kMinutes)) * 60;
  }
  // Where time is short, what comes after the search belongs to it too.
  double search_seconds() const { return limit_seconds() * (flags_.quick ? 1 - kLastTimingShare : 1); }
  // A quick search on a slow or busy machine may take twice as long before it has nothing at all.
  bool is_time_over() const {
    const double patience = flags_.quick && !has_found_ ? 2 : 1;
    return seconds_since(start_) > search_seconds() * patience;
  }
  double last_timing_seconds() const {
    return flags_.quick ? limit_seconds() * kLastTimingShare : std::numeric_limits<double>::infinity();
  }

  // As the preset will be used: a decode step brings back few tokens, and the loss is measured so.
  static LazyOptions options_of(const ScheduleCandidate& candidate) {
    LazyOptions lazy;
    lazy.schedule = format_schedule(candidate.stages);
    lazy.policy = candidate.policy;
    lazy.attention_mass = static_cast<float>(candidate.attention_mass);
    limit_revivals(lazy);
    return lazy;
  }

  std::vector<double> masses() const {
    if (flags_.schedule.empty() && flags_.quick) return {kQuickMass};
    if (flags_.schedule.empty()) return {std::begin(kMasses), std::end(kMasses)};
    if (flags_.attention_mass < 1) return {round_to(static_cast<double>(flags_.attention_mass), 4)};
    return {};
  }

  Result<SearchResult> search() {
    LossJudge judge(target_, prompts_.size());
    const auto is_within_target = [&](const ScheduleCandidate& candidate) -> Result<bool> {
      const LazyOptions lazy = options_of(candidate);
      auto verdict = judge.judge([&](size_t text) -> Result<TextLoss> {
        progress();
        if (is_time_over()) return fail(ErrorCode::kCancelled, "the time for the search is over");
        auto loss = measure_fidelity(executor_, dense_[text], lazy, interrupt_.token());
        if (!loss) return tl::unexpected(loss.error());
        return TextLoss{loss->mean_kl, loss->agreement};
      });
      if (!verdict) return tl::unexpected(verdict.error());
      remember(candidate, *verdict);
      return verdict->within;
    };
    if (!flags_.schedule.empty()) return given(is_within_target);
    auto found = search_schedule(task_, is_within_target);
    if (found && !has_found_ && is_time_over()) {
      return fail(
          ErrorCode::kCancelled,
          "the time was over before anything held the target, and nothing was kept; give more --minutes");
    }
    return found;
  }

  // The user's own schedule, if it holds the target.
  Result<SearchResult> given(const LossTest& is_within_target) const {
    auto stages = parse_schedule(flags_.schedule, engine_.info().n_layers, task_.layers);
    if (!stages) return tl::unexpected(stages.error());
    ScheduleCandidate candidate{std::move(*stages), searched_policies()[flags_.policy], 0,
                                round_to(static_cast<double>(flags_.attention_mass), 4)};
    candidate.predicted_ms = predicted_ms(task_.n_tokens, candidate);
    auto within = is_within_target(candidate);
    if (!within) return tl::unexpected(within.error());
    if (!*within) {
      return fail(ErrorCode::kInvalidArgument,
                  "the schedule loses more than the target, KL " + fixed(last_.mean.kl, 3) + " (at most " +
                      short_number(target_.max_kl) + ") and agreement " +
                      fixed(last_.mean.agreement * 100, 1) + "% (at least " +
                      short_number(target_.min_agreement * 100) + "%) on " +
                      std::to_string(last_.n_measured) +
                      " of the texts: give a softer one, or --max-kl and --min-agreement");
    }
    return SearchResult{std::move(candidate), predicted_ms(task_.n_tokens, {}), 1};
  }

  double predicted_ms(size_t n_tokens, const ScheduleCandidate& candidate) const {
    return task_.cost.predict_ms(prefill_work(n_tokens, candidate.stages, task_.layer_windows),
                                 candidate.attention_mass);
  }

  void remember(const ScheduleCandidate& candidate, const LossJudge::Verdict& verdict) {
    const double speed_up = predicted_ms(task_.n_tokens, {}) / candidate.predicted_ms;
    trail_.push_back({{"schedule", format_schedule(candidate.stages)},
                      {"policy", policy_name(candidate.policy)},
                      {"sparse_attention", candidate.attention_mass},
                      {"predicted_speed_up", speed_up},
                      {"kl", verdict.mean.kl},
                      {"agreement", verdict.mean.agreement},
                      {"texts", verdict.n_measured},
                      {"within", verdict.within}});
    last_ = verdict;
    if (!verdict.within) return;
    has_found_ = true;
    best_loss_ = verdict.mean;
    bar_.clear();
    terminal_.note(fixed(speed_up, 2) + "x predicted, KL " + fixed(verdict.mean.kl, 4) + ", agreement " +
                   fixed(verdict.mean.agreement * 100, 1) + "%: " +
                   flags_text(format_schedule(candidate.stages), candidate.policy, candidate.attention_mass));
  }

  Result<Preset> preset_of(const SearchResult& found, const PrefillClock& clock) {
    if (interrupt_.fired()) return fail(ErrorCode::kCancelled, "stopped; nothing was kept");
    Preset preset;
    preset.kind = kPresetKinds[flags_.preset];
    preset.fingerprint = engine_.info().fingerprint;
    preset.model = engine_.info().name;
    preset.lazy = options_of(found.best);
    preset.max_kl = round_to(target_.max_kl, 6);
    preset.min_agreement = round_to(target_.min_agreement, 6);
    preset.kl = round_to(best_loss_.kl, 4);
    preset.agreement = round_to(best_loss_.agreement, 4);
    preset.min_tokens = shortest_gaining(found.best);
    preset.prompt_tokens = task_.n_tokens;
    auto speed_up = clock.speed_up(preset.lazy, last_timing_seconds());
    if (!speed_up) return tl::unexpected(speed_up.error());
    preset.speed_up = round_to(*speed_up, 2);
    bar_.clear();
    return preset;
  }

  static double round_to(double value, int n_digits) { return std::stod(fixed(value, n_digits)); }

  // Where the cost model sees a gain; but not far below the shortest text, of whose like no loss was
  // measured.
  size_t shortest_gaining(const ScheduleCandidate& best) const {
    size_t shortest = prompts_.front().size();
    for (const auto& prompt : prompts_) shortest = std::min(shortest, prompt.size());
    size_t n = std::max<size_t>(shortest / 2, 1);
    while (n < task_.n_tokens && predicted_ms(n, best) > kWorthwhile * predicted_ms(n, {})) n += 32;
    return n;
  }

  void progress() {
    bar_.update({.n_layers = 0,  // no prompt
                 .fraction = std::min(seconds_since(start_) / limit_seconds(), 1.0)});
  }

  const CalibrateFlags& flags_;
  const Executor& executor_;
  const Engine& engine_;
  const Interrupt& interrupt_;
  const LossTarget target_;
  Terminal terminal_;
  ProgressBar bar_;
  Clock::time_point start_ = Clock::now();
  SearchTask task_;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<DenseReference> dense_;  // one a prompt
  TextLoss best_loss_{0, 1};           // of the best candidate so far; dense has none
  bool has_found_ = false;
  LossJudge::Verdict last_;
  Json trail_ = Json::array();
};

Result<std::string> path_of_preset(const CalibrateFlags& flags, const ModelInfo& info) {
  const PresetKind kind = kPresetKinds[flags.preset];
  if (!flags.out.empty()) return flags.out;
  if (flags.beside) {
    return resolve_model_path(flags.model.path).map([kind](const std::string& path) {
      return preset_path_beside(path, kind);
    });
  }
  const std::string folder = user_preset_folder();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot make the folder " + quote(folder) + ": " + error.message() + "; give --out FILE");
  }
  return preset_path_in(folder, info.fingerprint, kind);
}

int calibrate(const CalibrateFlags& flags) {
  const Interrupt interrupt;
  InputFiles inputs = {"-"};
  inputs.add(flags.files);
  inputs.add_model(flags.model.path);
  std::optional<OutputFile> json;
  if (!flags.json.empty()) {
    InputFiles with_presets = inputs;
    with_presets.add_presets(flags.model.path);
    auto opened = OutputFile::open(flags.json, with_presets);
    if (!opened) return report_failure(kCommand, opened.error());
    json.emplace(std::move(*opened));
  }
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  const Engine& engine = loaded->engine;
  if (engine.info().prunable_layers.empty())
    return report_failure(kCommand, {ErrorCode::kUnsupported, "this model has no layer that can prune"});
  auto path = path_of_preset(flags, engine.info());
  if (!path) return report_failure(kCommand, path.error());
  if (is_same_file(*path, flags.json)) return wrong_usage(kCommand, "--json and the preset name one file");
  auto output = OutputFile::open(*path, inputs);
  if (!output) return report_failure(kCommand, output.error());
  const Terminal terminal(flags.model.quiet);
  terminal.note(model_summary(engine.info()));

  Calibration calibration(flags, loaded->executor, interrupt);
  auto preset = calibration.run();
  if (!preset) return report_failure(kCommand, preset.error());
  if (auto written = output->write(preset_to_json(*preset)); !written)
    return report_failure(kCommand, written.error());
  if (json) {
    if (auto written = json->write(json_line(calibration.report(*preset))); !written)
      return report_failure(kCommand, written.error());
  }
  if (!output->is_standard_output() && !(json && json->is_standard_output())) {
    const LazyOptions& lazy = preset->lazy;
    std::printf("%s: %.2fx the prefill speed at %s tokens, KL %.4f, agreement %.1f%%\n",
                flags_text(lazy.schedule, policy_info(lazy).policy,
                           static_cast<double>(lazy.attention_mass.value_or(1)))
                    .c_str(),
                preset->speed_up, grouped(preset->prompt_tokens).c_str(), preset->kl,
                preset->agreement * 100);
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
  flags.add_choice(
      "--preset", values.preset, {"auto", "fast"},
      "Which of the model's presets is made: the careful one, for --lazy auto, or one that loses "
      "more, for --lazy fast; default auto");
  flags.add_real("--max-kl", values.max_kl, 0, 100,
                 "KL divergence from the dense model at most, in nats a token; default 0.2, for fast 0.25");
  flags.add_real("--min-agreement", values.min_agreement, 0, 1,
                 "Share of tokens where lazy and dense find the same one likeliest; default 0.85, for fast "
                 "0.8");
  flags.add_count("--tokens", values.n_tokens, 1, 1024,
                  "Tokens of each answer that are compared; default 17");
  flags.group("Search");
  flags.add_texts("-f,--file", values.files, "FILE",
                  "A text to measure on; may be given several times; default: built-in texts");
  values.text.add_to(flags);
  flags.add_switch("--plain", values.plain, "No text as a chat message; default: every other one");
  flags.add_count("--prompt-tokens", values.prompt_tokens, 64, size_t{1} << 24,
                  "Length of the prompts that shall be fast, at most the model's context; default 4096");
  flags.add_switch(
      "--quick", values.quick,
      "A short search of 90 seconds, that begins with what other models came to; the loss is measured on "
      "the same texts");
  flags.add_text("--schedule", values.schedule, "LAYER:KEEP,...",
                 "No search: measure this schedule, and keep it if it holds the target");
  std::vector<std::string> names;
  for (Policy policy : searched_policies()) names.emplace_back(policy_name(policy));
  flags.add_choice("--policy", values.policy, names, "Policy of --schedule; default " + names.front());
  flags.add_real("--sparse-attention", values.attention_mass, 0.01F, 1,
                 "Sparse attention of --schedule; default 1, none");
  flags.add_real("--minutes", values.minutes, 0.01F, 10000,
                 "End the search after this time; default 9, with --quick 1.5");
  flags.add_count("--candidates", values.n_candidates, 1, 100000,
                  "End the search after so many candidates; default 200");
  flags.group("Result");
  flags.add_switch("--beside", values.beside, "Keep the preset beside the model, not in the user's cache");
  flags.add_text("--out", values.out, "FILE", "Keep the preset in this file; - for standard output");
  flags.add_json(values.json, "Write all that was tried, for a plot");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (const std::string sentence = standard_input_twice(values.files); !sentence.empty())
    return wrong_usage(kCommand, sentence);
  if (values.beside && !values.out.empty())
    return wrong_usage(kCommand, "--beside and --out name two places: give one");
  if (values.schedule.empty() && (values.policy != 0 || values.attention_mass < 1))
    return wrong_usage(kCommand, "--policy and --sparse-attention are of --schedule: a search finds its own");
  if (values.quick && !values.schedule.empty())
    return wrong_usage(kCommand, "--quick is a search and --schedule needs none: give one");
  return guarded(kCommand, [&] { return calibrate(values); });
}

}  // namespace lazyfill::cli
