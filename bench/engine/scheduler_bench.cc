// Who waits for whom, in figures: while a long prompt is computed dense and two answers are being written,
// how long an answer waits for its next token, how soon a short prompt that comes in the middle has its first
// one, and what all of it costs the long prompt. Each beside what the same takes on an idle engine, in one
// run.
//
//   scheduler_bench MODEL.gguf [LONG [SHORT [ARRIVALS [ROUNDS [TURN_MS]]]]]     default 7800, 100, 6, 3, 50
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "lazyfill/scheduler.h"

namespace lazyfill {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kStepsApart = 48;

struct Sizes {
  size_t n_long;
  size_t n_short;
  size_t n_arrivals;
  size_t n_rounds;
  double turn_ms;
};

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double quantile(std::vector<double> values, double at) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(at * static_cast<double>(values.size() - 1))];
}

struct Figures {
  double long_alone_ms = 0;
  double step_ms = 0;  // one token of both answers, apart
  std::vector<double> short_alone_ms;
  std::vector<double> short_ms;  // by arrival
  std::vector<double> waits_ms;  // between two tokens of an answer, while the long prompt is computed
  double long_ms = 0;
  size_t n_steps = 0;  // of the answers, in that time

  double idle_short_ms() const { return quantile(short_alone_ms, 0.5); }
  double sum_apart_ms() const {
    return long_alone_ms + static_cast<double>(n_steps) * step_ms +
           static_cast<double>(short_ms.size()) * idle_short_ms();
  }
};

class Bench {
 public:
  Bench(Scheduler& scheduler, const Sizes& sizes) : scheduler_(scheduler), sizes_(sizes) {}

  // Throws what a future throws; an answer that fails ends the program.
  Figures round() {
    Figures figures;
    figures.long_alone_ms = ttft_ms(request_of(sizes_.n_long));
    for (size_t i = 0; i < std::max<size_t>(sizes_.n_arrivals, 3); ++i)
      figures.short_alone_ms.push_back(ttft_ms(request_of(sizes_.n_short)));
    together(figures);
    return figures;
  }

 private:
  // An answer that is being written until it is told to stop.
  struct Writer {
    std::vector<Clock::time_point> tokens;  // of the scheduler's thread, until `end`
    std::atomic<size_t> n_tokens{0};
    std::stop_source stop;
    std::promise<void> ended;
  };

  Request request_of(size_t n_tokens, size_t max_tokens = 1) {
    Request request;
    for (size_t i = 0; i < n_tokens; ++i)
      request.tokens.push_back(static_cast<int32_t>(random_() % scheduler_.engine().info().n_tokens));
    request.options = {.max_tokens = max_tokens, .sampling = {.temperature = 0}, .stop_at_end_token = false};
    request.lazy.schedule = "off";
    request.cache_prompt = false;
    return request;
  }
  static double checked_ttft(const Result<Generation>& answer) {
    if (answer) return answer->timings.ttft_ms;
    std::fprintf(stderr, "%s\n", answer.error().message.c_str());
    std::exit(1);
  }
  double ttft_ms(Request request) { return checked_ttft(scheduler_.generate(std::move(request))); }
  void submit(Request request) {
    if (const auto submitted = scheduler_.submit(std::move(request)); !submitted) {
      std::fprintf(stderr, "%s\n", submitted.error().message.c_str());
      std::exit(1);
    }
  }
  static void wait_until(const std::function<bool()>& is_so) {
    while (!is_so()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void start(Writer& writer) {
    Request request = request_of(sizes_.n_short, 4000);
    writer.tokens.reserve(request.options.max_tokens);
    request.callbacks.stop = writer.stop.get_token();
    request.callbacks.on_token = [&writer](int32_t, std::string_view) {
      writer.tokens.push_back(Clock::now());
      ++writer.n_tokens;
      return true;
    };
    request.on_end = [&writer](const Result<Generation>&) { writer.ended.set_value(); };
    submit(std::move(request));
  }

  // The long prompt, and short ones that come while it is computed, evenly over its work and at any moment
  // of a block.
  void arrive_during_long(Figures& figures) {
    std::atomic<double> fraction{0};
    std::atomic<bool> is_over{false};
    Request request = request_of(sizes_.n_long);
    request.callbacks.on_progress = [&](const Progress& progress) { fraction = progress.fraction; };
    std::promise<double> ttft;
    request.on_end = [&](const Result<Generation>& answer) {
      ttft.set_value(checked_ttft(answer));
      is_over = true;
    };
    submit(std::move(request));
    std::vector<double> at;
    for (size_t i = 0; i < sizes_.n_arrivals; ++i) {
      const double wanted = (static_cast<double>(i) + 0.5) / static_cast<double>(sizes_.n_arrivals);
      wait_until([&] { return is_over || fraction >= wanted; });
      std::this_thread::sleep_for(std::chrono::microseconds(random_() % 60'000));
      if (is_over) break;
      figures.short_ms.push_back(ttft_ms(request_of(sizes_.n_short)));
    }
    figures.long_ms = ttft.get_future().get();
  }

  void together(Figures& figures) {
    Writer writers[2];
    const auto both_have = [&](size_t n) { return writers[0].n_tokens >= n && writers[1].n_tokens >= n; };
    for (Writer& writer : writers) start(writer);
    wait_until([&] { return both_have(kStepsApart + 2); });
    const Clock::time_point begin = Clock::now();
    arrive_during_long(figures);
    const Clock::time_point end = Clock::now();
    const size_t n_then = std::max<size_t>(writers[0].n_tokens, writers[1].n_tokens);
    wait_until([&] { return both_have(n_then + kStepsApart); });
    for (Writer& writer : writers) writer.stop.request_stop();
    for (Writer& writer : writers) writer.ended.get_future().wait();
    std::vector<double> apart;
    for (const Writer& writer : writers) {
      for (size_t i = 3; i < writer.tokens.size(); ++i) {
        const double wait = ms_between(writer.tokens[i - 1], writer.tokens[i]);
        const bool is_apart = writer.tokens[i] < begin || writer.tokens[i - 1] > end;
        (is_apart ? apart : figures.waits_ms).push_back(wait);
      }
    }
    figures.step_ms = quantile(apart, 0.5);
    figures.n_steps = figures.waits_ms.size() / 2;
  }

  Scheduler& scheduler_;
  const Sizes sizes_;
  std::mt19937 random_{1};
};

void print(const Figures& f) {
  const double idle = f.idle_short_ms();
  std::printf(
      "  longest wait of an answer %.0f ms (median %.0f, 99 of 100 below %.0f); short prompt %.0f ms idle, "
      "then "
      "%.1f times that (median; %.1f at most);\n  long prompt %.0f ms alone, %.0f with %zu steps of %.1f ms "
      "and "
      "%zu short prompts: %.2f of the sum\n",
      quantile(f.waits_ms, 1), quantile(f.waits_ms, 0.5), quantile(f.waits_ms, 0.99), idle,
      quantile(f.short_ms, 0.5) / idle, quantile(f.short_ms, 1) / idle, f.long_alone_ms, f.long_ms, f.n_steps,
      f.step_ms, f.short_ms.size(), f.long_ms / f.sum_apart_ms());
}

int run(const std::string& path, const Sizes& sizes) {
  const auto engine = Engine::load(path, {});
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message.c_str());
    return 1;
  }
  auto scheduler = Scheduler::start(*engine, {.turn_ms = sizes.turn_ms});
  if (!scheduler) {
    std::fprintf(stderr, "%s\n", scheduler.error().message.c_str());
    return 1;
  }
  std::printf("%s, a long prompt of %zu tokens, short ones of %zu, turns of %.0f ms\n",
              engine->info().isa.c_str(), sizes.n_long, sizes.n_short, sizes.turn_ms);
  Bench bench(*scheduler, sizes);
  std::vector<double> waits;
  std::vector<double> short_ratios;
  std::vector<double> long_ratios;
  for (size_t i = 0; i < sizes.n_rounds; ++i) {
    const Figures figures = bench.round();
    print(figures);
    std::fflush(stdout);
    waits.push_back(quantile(figures.waits_ms, 1));
    for (double ms : figures.short_ms) short_ratios.push_back(ms / figures.idle_short_ms());
    long_ratios.push_back(figures.long_ms / figures.sum_apart_ms());
  }
  std::printf(
      "longest wait of an answer: %.0f ms in the median round, %.0f in the worst (asked: at most 150)\n"
      "short prompt's first token: %.2f times the idle engine's, median of %zu; %.2f at most (asked: at most "
      "3)\nlong prompt: %.2f times the sum of the parts, median; %.2f at most (asked: at most 1.15)\n",
      quantile(waits, 0.5), quantile(waits, 1), quantile(short_ratios, 0.5), short_ratios.size(),
      quantile(short_ratios, 1), quantile(long_ratios, 0.5), quantile(long_ratios, 1));
  return 0;
}

}  // namespace
}  // namespace lazyfill

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: scheduler_bench MODEL.gguf [LONG [SHORT [ARRIVALS [ROUNDS [TURN_MS]]]]]\n");
    return 2;
  }
  const auto number = [&](int i, size_t otherwise) {
    return std::max<size_t>(argc > i ? std::strtoul(argv[i], nullptr, 10) : otherwise, 1);
  };
  return lazyfill::run(argv[1], {.n_long = number(2, 7800),
                                 .n_short = number(3, 100),
                                 .n_arrivals = number(4, 6),
                                 .n_rounds = number(5, 3),
                                 .turn_ms = argc > 6 ? std::strtod(argv[6], nullptr) : 50});
}
