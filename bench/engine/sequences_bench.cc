// How many tokens a second one decode step of several sequences gives, against steps of one sequence alone:
// both by turns in one run, and whether every sequence has the same logits, bit for bit, either way.
//
//   sequences_bench MODEL.gguf [SEQUENCES [TOKENS [STEPS [ISA]]]]     default 8, 500, 24, the machine's best
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "engine/step.h"
#include "gguf/file.h"
#include "kernels/kernels.h"

namespace lazyfill {
namespace {

constexpr size_t kRounds = 5;

struct Sequence {
  Sequence(const Model& model, size_t n_tokens, size_t n_steps, uint32_t seed)
      : cache({.n_layers = model.config.n_layers,
               .n_kv_heads = model.config.n_kv_heads,
               .head_dim = model.config.head_dim,
               .d_model = model.config.d_model,
               .capacity_tokens = n_tokens + n_steps,
               .column_type = model.kernels->column_type}),
        logits(model.config.n_vocab),
        n_prompt(n_tokens) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < n_tokens + n_steps; ++i)
      tokens.push_back(static_cast<int32_t>(random() % model.config.n_vocab));
  }

  std::vector<int32_t> tokens;
  SequenceCache cache;
  std::vector<float> logits;
  size_t n_prompt;
};

// One step of these sequences: their prompts, or the next token of each. False when one fails.
bool step(const Model& model, Workspace& workspace, const std::vector<Sequence*>& sequences) {
  std::vector<SequenceStep> steps;
  for (Sequence* one : sequences) {
    const size_t done = one->cache.n_tokens();
    steps.push_back(
        {.cache = one->cache,
         .tokens = std::span<const int32_t>(one->tokens).subspan(done, done == 0 ? one->n_prompt : 1),
         .plan = {.prompt_end = one->n_prompt},
         .logits = one->logits});
  }
  Step(model, steps).advance(workspace, [](const Progress&) { return true; });
  return std::all_of(steps.begin(), steps.end(),
                     [](const SequenceStep& one) { return one.result.has_value(); });
}

// Tokens a second of n_steps steps, from the end of the prompts on.
double tokens_per_s(const Model& model, Workspace& workspace, const std::vector<Sequence*>& sequences,
                    size_t n_steps) {
  for (Sequence* one : sequences) one->cache.truncate(one->n_prompt);
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < n_steps; ++i) {
    if (!step(model, workspace, sequences)) return 0;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(n_steps * sequences.size()) / seconds.count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(const std::string& path, size_t n_sequences, size_t n_tokens, size_t n_steps,
        const std::string& isa) {
  const auto kernels = kernels_for(isa);
  auto file = gguf::File::open(path);
  if (!kernels || !file) {
    std::fprintf(stderr, "%s\n", (kernels ? file.error() : kernels.error()).message.c_str());
    return 1;
  }
  Workspace workspace(0);
  const auto model = Model::load(*file, **kernels, ActivationBits::k16, Team::all(workspace.pool));
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().message.c_str());
    return 1;
  }
  std::vector<Sequence> sequences;
  std::vector<Sequence*> all;
  for (uint32_t i = 0; i < n_sequences; ++i) sequences.emplace_back(*model, n_tokens, n_steps, i);
  for (Sequence& one : sequences) all.push_back(&one);
  for (Sequence* one : all) step(*model, workspace, {one});

  std::vector<double> alone;
  std::vector<double> together;
  std::vector<double> ratios;
  bool same = true;
  for (size_t round = 0; round < kRounds; ++round) {
    alone.push_back(tokens_per_s(*model, workspace, {all[round % n_sequences]}, n_steps));
    const std::vector<float> expected = all[round % n_sequences]->logits;
    together.push_back(tokens_per_s(*model, workspace, all, n_steps));
    ratios.push_back(together.back() / alone.back());
    same = same && expected == all[round % n_sequences]->logits;
  }
  std::printf(
      "%s, %zu threads, %zu sequences of %zu tokens: alone %.1f tokens/s, together %.1f, ratio %.2f "
      "(%.2f to %.2f); the same logits: %s\n",
      std::string((*kernels)->name).c_str(), workspace.pool.n_threads(), n_sequences, n_tokens, median(alone),
      median(together), median(ratios), *std::min_element(ratios.begin(), ratios.end()),
      *std::max_element(ratios.begin(), ratios.end()), same ? "yes" : "NO");
  return same ? 0 : 1;
}

}  // namespace
}  // namespace lazyfill

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: sequences_bench MODEL.gguf [SEQUENCES [TOKENS [STEPS [ISA]]]]\n");
    return 2;
  }
  const auto number = [&](int i, size_t otherwise) {
    return argc > i ? std::strtoul(argv[i], nullptr, 10) : otherwise;
  };
  return lazyfill::run(argv[1], std::max<size_t>(number(2, 8), 1), std::max<size_t>(number(3, 500), 1),
                       std::max<size_t>(number(4, 24), 1), argc > 5 ? argv[5] : "");
}
