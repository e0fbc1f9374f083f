// Reads a document, generates after it once densely and once lazily, and says how much sooner the first token
// came.
//   ./two_prefills MODEL.gguf DOCUMENT.txt
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "lazyfill/engine.h"

namespace {

int report(const lazyfill::Error& error) {
  std::fprintf(stderr, "two_prefills: %s\n", error.message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: two_prefills MODEL.gguf DOCUMENT.txt\n");
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::string document((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());

  const auto engine = lazyfill::Engine::load(argv[1], {});
  if (!engine) return report(engine.error());
  const auto tokens = engine->tokenize(document);
  if (!tokens) return report(tokens.error());

  double dense_ttft_ms = 0;
  for (const char* schedule : {"off", "50%:0.5,75%:0.5"}) {
    lazyfill::SessionOptions options;
    options.lazy.schedule = schedule;
    auto session = engine->start_session(options);
    if (!session) return report(session.error());

    lazyfill::GenerateOptions generate;
    generate.max_tokens = 16;
    generate.sampling.temperature = 0;
    const auto answer = session->generate(*tokens, generate, {});
    if (!answer) return report(answer.error());

    const double ttft_ms = answer->timings.ttft_ms;
    if (dense_ttft_ms == 0) dense_ttft_ms = ttft_ms;
    std::printf("%-16s first of %zu tokens after %6.0f ms (%.2f times sooner):%s\n", schedule,
                answer->token_ids.size(), ttft_ms, dense_ttft_ms / ttft_ms, answer->text.c_str());
  }
  return 0;
}
