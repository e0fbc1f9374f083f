// What a decode step costs by its number of rows: the newest token of a sequence and drafts behind it.
//
//   draft_rows_bench MODEL [n_tokens] [n_threads]
//
// Prints a line for each number of rows: the median time of a step, and how many times that of one row it is.
// The numbers of rows take turns, so that a machine that slows down does so for all.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/step.h"
#include "gguf/file.h"
#include "lazyfill/engine.h"

namespace {

using lazyfill::SequenceStep;
constexpr auto kAlways = [](const lazyfill::Progress&) { return true; };

std::vector<int32_t> some_tokens(size_t n, size_t n_vocab) {
  std::vector<int32_t> tokens(n);
  for (size_t i = 0; i < n; ++i) tokens[i] = static_cast<int32_t>((i * 7919 + 11) % n_vocab);
  return tokens;
}

double step_ms(const lazyfill::Model& model, lazyfill::Workspace& workspace, SequenceStep step) {
  const auto start = std::chrono::steady_clock::now();
  lazyfill::Step(model, {&step, 1}).advance(workspace, kAlways);
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
  if (!step.result) {
    std::fprintf(stderr, "%s\n", step.result.error().message.c_str());
    std::exit(1);
  }
  if (step.commits_itself) step.cache.rollback_step();
  return passed.count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: draft_rows_bench MODEL [n_tokens] [n_threads]\n");
    return 2;
  }
  const size_t n_tokens = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1024;
  const size_t n_threads = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 2;
  const auto kernels = lazyfill::kernels_for(std::getenv("LAZYFILL_ISA"));
  auto file = lazyfill::gguf::File::open(argv[1]);
  if (!kernels || !file) return 1;
  lazyfill::Workspace workspace(n_threads);
  auto model = lazyfill::Model::load(*file, **kernels, lazyfill::ActivationBits::k16,
                                     lazyfill::Team::all(workspace.pool));
  if (!model) return 1;
  const lazyfill::ModelConfig& c = model->config;
  lazyfill::SequenceCache cache({.n_layers = c.n_layers,
                                 .n_kv_heads = c.n_kv_heads,
                                 .head_dim = c.head_dim,
                                 .d_model = c.d_model,
                                 .capacity_tokens = n_tokens + 96,
                                 .column_type = (*kernels)->column_type});
  constexpr size_t kRows[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
  std::vector<float> logits(64 * c.n_vocab);
  const std::vector<int32_t> prompt = some_tokens(n_tokens, c.n_vocab);
  step_ms(*model, workspace,
          {.cache = cache, .tokens = prompt, .plan = {.prompt_end = n_tokens}, .logits = logits});
  std::vector<int32_t> parents(64);
  for (size_t i = 0; i < parents.size(); ++i) parents[i] = static_cast<int32_t>(i) - 1;
  std::vector<std::vector<double>> ms(std::size(kRows));
  for (size_t round = 0; round < 15; ++round) {
    for (size_t i = 0; i < std::size(kRows); ++i) {
      SequenceStep step{
          .cache = cache, .tokens = std::span(prompt).first(kRows[i]), .plan = {}, .logits = logits};
      step.n_logit_rows = kRows[i];
      step.parents = std::span(parents).first(kRows[i]);
      step.commits_itself = true;
      ms[i].push_back(step_ms(*model, workspace, step));
    }
  }
  for (size_t i = 0; i < std::size(kRows); ++i) {
    std::sort(ms[i].begin(), ms[i].end());
    std::printf("%2zu rows: %7.2f ms, %5.2f times one row\n", kRows[i], ms[i][7], ms[i][7] / ms[0][7]);
  }
}
