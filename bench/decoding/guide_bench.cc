// How long guides take: compiling, the first mask, a mask and a verdict for each token of answers that fit.
//
//   guide_bench MODEL.gguf CASES.jsonl     one {"name", "schema" | "regex" | "grammar", "answer"} a line
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "decoding/guide.h"
#include "gguf/file.h"

namespace {

using Clock = std::chrono::steady_clock;
using lazyfill::GuideKind;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

struct Times {
  std::vector<double> compile, first, mask, verdict;
  size_t n_refused = 0;
};

lazyfill::GuideOptions options_of(const nlohmann::json& one, bool canonical) {
  lazyfill::GuideOptions options{.canonical = canonical};
  if (one.contains("schema")) {
    options.kind = GuideKind::kJsonSchema;
    options.source = one["schema"].dump();
  } else {
    options.kind = one.contains("regex") ? GuideKind::kRegex : GuideKind::kGrammar;
    options.source =
        one.contains("regex") ? one["regex"].get<std::string>() : one["grammar"].get<std::string>();
  }
  return options;
}

// An answer token by token: the mask, the verdict of its token, and on.
void follow(const nlohmann::json& one, bool canonical,
            const std::shared_ptr<const lazyfill::GuideVocabulary>& vocabulary, Times& times) {
  auto start = Clock::now();
  const auto guide = lazyfill::Guide::compile(options_of(one, canonical), vocabulary);
  times.compile.push_back(us_since(start));
  if (!guide) {
    std::fprintf(stderr, "%s: %s\n", one["name"].get<std::string>().c_str(), guide.error().message.c_str());
    ++times.n_refused;
    return;
  }
  const auto constraint = lazyfill::start_constraint(*guide);
  const auto ids = vocabulary->tokenizer().encode(one["answer"].get<std::string>(),
                                                  {.add_special = false, .space_prefix = false});
  for (size_t i = 0; ids && i < ids->size(); ++i) {
    start = Clock::now();
    const bool in_mask = lazyfill::has_token(constraint->mask(), (*ids)[i]);
    (i == 0 ? times.first : times.mask).push_back(us_since(start));
    start = Clock::now();
    const bool allowed = constraint->allows((*ids)[i]);
    times.verdict.push_back(us_since(start));
    if (!in_mask || !allowed) {
      std::fprintf(stderr, "%s: token %zu of the answer is refused\n", one["name"].get<std::string>().c_str(),
                   i);
      ++times.n_refused;
      return;
    }
    constraint->accept((*ids)[i]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: guide_bench MODEL.gguf CASES.jsonl\n");
    return 2;
  }
  const auto file = lazyfill::gguf::File::open(argv[1]);
  if (!file) return 1;
  const auto tokenizer = lazyfill::Tokenizer::from_gguf(*file);
  if (!tokenizer) return 1;
  auto start = Clock::now();
  const auto vocabulary = std::make_shared<const lazyfill::GuideVocabulary>(**tokenizer);
  const size_t n_nodes = vocabulary->trie().nodes().size();
  std::printf("%zu tokens, tree of %zu nodes in %.1f ms\n", (*tokenizer)->n_tokens(), n_nodes,
              us_since(start) / 1000);
  std::vector<nlohmann::json> cases;
  std::ifstream stream(argv[2]);
  for (std::string line; std::getline(stream, line);) cases.push_back(nlohmann::json::parse(line));
  for (const bool canonical : {true, false}) {
    Times times;
    for (const auto& one : cases) follow(one, canonical, vocabulary, times);
    std::printf("%s, %zu guides, %zu refused\n", canonical ? "canonical" : "any", cases.size(),
                times.n_refused);
    const auto print = [](const char* name, const std::vector<double>& us) {
      std::printf("  %-10s %7zu   median %9.1f us   p99 %9.1f us   most %9.1f us\n", name, us.size(),
                  quantile(us, 0.5), quantile(us, 0.99), quantile(us, 1));
    };
    print("compile", times.compile);
    print("first mask", times.first);
    print("mask", times.mask);
    print("verdict", times.verdict);
  }
  return 0;
}
