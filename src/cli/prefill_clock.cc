#include "cli/prefill_clock.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <utility>

namespace lazyfill::cli {
namespace {

constexpr size_t kRounds = 3;
constexpr double kLeastSaving = 0.02;  // share of attention's time by which a sparser choice must save more
constexpr size_t kShorter[] = {8, 4, 2, 1};  // lengths are the text's divided by these

LazyOptions options_of(std::string schedule, double attention_mass) {
  LazyOptions lazy;
  lazy.schedule = std::move(schedule);
  lazy.attention_mass = static_cast<float>(attention_mass);
  return lazy;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

PrefillClock::PrefillClock(const Executor& executor, std::vector<int32_t> tokens, std::stop_token stop,
                           std::function<void()> on_prefill)
    : executor_(executor),
      tokens_(std::move(tokens)),
      stop_(std::move(stop)),
      on_prefill_(std::move(on_prefill)) {}

Result<CostModel> PrefillClock::fit(const std::vector<double>& attention_masses, double max_seconds) const {
  const std::vector<size_t>& layers = executor_.engine().info().prunable_layers;
  // Early enough that much of attention lies above it.
  const std::string pruned = std::to_string(layers[layers.size() / 4]) + ":0.4";
  const size_t longest = tokens_.size();
  std::vector<Case> cases;
  for (size_t part : kShorter) cases.push_back({longest / part, options_of("off", 1)});
  cases.push_back({longest, options_of(pruned, 1)});
  const size_t n_dense = cases.size();  // with dense attention
  for (double mass : attention_masses) cases.push_back({longest, options_of("off", mass)});
  const double typical = attention_masses.empty() ? 1 : attention_masses[attention_masses.size() / 2];
  if (!attention_masses.empty()) cases.push_back({longest, options_of(pruned, typical)});
  if (auto warm = prefill_ms(cases.front().n_tokens, cases.front().lazy); !warm)
    return tl::unexpected(warm.error());
  if (auto done = measure(cases, max_seconds); !done) return tl::unexpected(done.error());

  std::vector<TimedPrefill> dense;
  for (size_t i = 0; i < n_dense; ++i) {
    auto prefill = timed(cases[i]);
    if (!prefill) return tl::unexpected(prefill.error());
    dense.push_back(*prefill);
  }
  auto model = fit_cost_model(dense);
  if (!model || attention_masses.empty()) return model;
  for (size_t i = 0; i < attention_masses.size(); ++i)
    model->savings.push_back(
        {attention_masses[i], fit_saved_share(*model, dense[n_dense - 2], cases[n_dense + i].best_ms)});
  model->thinned = fit_thinned(*model, dense[n_dense - 1], typical, cases.back().best_ms);
  double most = 0;
  std::erase_if(model->savings, [&](const SparseSaving& saving) {
    if (saving.share < most + kLeastSaving) return true;
    most = saving.share;
    return false;
  });
  return model;
}

Result<double> PrefillClock::speed_up(const LazyOptions& lazy, double max_seconds) const {
  std::vector<Case> cases = {{tokens_.size(), options_of("off", 1)}, {tokens_.size(), lazy}};
  if (auto done = measure(cases, max_seconds); !done) return tl::unexpected(done.error());
  return cases[0].best_ms / cases[1].best_ms;
}

Result<void> PrefillClock::measure(std::vector<Case>& cases, double max_seconds) const {
  const auto start = std::chrono::steady_clock::now();
  for (size_t round = 0; round < kRounds; ++round) {
    // One more takes as long as each of those before.
    const auto n_done = static_cast<double>(round);
    if (round > 0 && seconds_since(start) * (n_done + 1) / n_done > max_seconds) break;
    for (Case& timed : cases) {
      on_prefill_();
      auto ms = prefill_ms(timed.n_tokens, timed.lazy);
      if (!ms) return tl::unexpected(ms.error());
      timed.best_ms = round == 0 ? *ms : std::min(timed.best_ms, *ms);
    }
  }
  return {};
}

Result<double> PrefillClock::prefill_ms(size_t n_tokens, const LazyOptions& lazy) const {
  auto session = executor_.start_session({.context_tokens = n_tokens + 1, .lazy = lazy});
  if (!session) return tl::unexpected(session.error());
  GenerateOptions options;
  options.max_tokens = 1;
  options.sampling.temperature = 0;
  auto generation = session->generate(std::span(tokens_).first(n_tokens), options, {.stop = stop_});
  if (!generation) return tl::unexpected(generation.error());
  return generation->timings.prefill_ms;
}

Result<TimedPrefill> PrefillClock::timed(const Case& measured) const {
  return executor_.engine().resolve_schedule(measured.lazy, measured.n_tokens).map([&](const auto& stages) {
    return TimedPrefill{prefill_work(measured.n_tokens, stages, executor_.engine().info().layer_windows),
                        measured.best_ms};
  });
}

}  // namespace lazyfill::cli
