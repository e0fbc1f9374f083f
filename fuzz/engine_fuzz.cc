// Goes on where the other fuzzers stop: a model that loads is used. Tokenise, render the chat template, three
// steps of a session and a second turn, log-probabilities, and back to text with ids that no token has.
//   build/fuzz/bin/engine_fuzz -dict=fuzz/engine.dict -max_len=2048 -max_total_time=60 CORPUS
//   fuzz/corpus/engine
// An input that begins with GGUF is a model file as it stands. Any other is a recipe for one, line by line
// (engine_recipe.h), with what it does not say made to fit.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string>
#include <string_view>
#include <vector>

#include "engine_recipe.h"
#include "lazyfill/engine.h"
#include "tokenizer/utf8.h"

namespace {

using lazyfill::Engine;
using lazyfill::Result;
using lazyfill::fuzz::Recipe;

constexpr size_t kContextTokens = 48;
constexpr size_t kMostPrompt = 20;

void check(bool holds) {
  if (!holds) __builtin_trap();
}

template <class T>
bool ok(const Result<T>& result) {
  if (!result) check(!result.error().message.empty() && result.error().message.size() < 4000);
  return result.has_value();
}

bool is_token(const Engine& engine, int32_t id) {
  return id >= 0 && static_cast<size_t>(id) < engine.info().n_tokens;
}

std::vector<int32_t> some_tokens(const Engine& engine, const Recipe& recipe) {
  std::vector<int32_t> prompt;
  for (const bool special : {false, true}) {
    const auto ids = engine.tokenize(recipe.text, special, special);
    if (!ok(ids)) continue;
    for (const int32_t id : *ids) check(is_token(engine, id));
    (void)engine.detokenize(*ids, special);
    prompt.insert(prompt.end(), ids->begin(), ids->end());
  }
  prompt.resize(std::min(prompt.size(), kMostPrompt));
  return prompt;
}

// Ids from outside may be anything: none reads memory that is not its own, and those of no token are no text.
void detokenize_anything(const Engine& engine) {
  const auto n_tokens = static_cast<int32_t>(engine.info().n_tokens);
  const auto n_vocab = static_cast<int32_t>(engine.info().n_vocab);
  check(n_tokens > 0 && n_tokens <= n_vocab);
  std::vector<int32_t> ids = {-1, INT_MIN, INT_MAX, n_tokens, n_vocab - 1, n_vocab, n_vocab + 1, 0};
  for (const int32_t id : ids) check(is_token(engine, id) || engine.piece(id).empty());
  for (int32_t id = 0; id < std::min(n_tokens, 300); ++id) ids.push_back(id);
  for (const bool special : {false, true}) {
    check(engine.detokenize(std::vector<int32_t>{n_tokens, -1, INT_MAX}, special).empty());
    (void)engine.detokenize(ids, special);
  }
}

void render(const Engine& engine) {
  lazyfill::ChatRequest request;
  request.messages = {{"system", "Be terse."}, {"user", "a </s> b"}, {"assistant", "b"}, {"user", "a"}};
  request.tools_json = R"([{"type":"function","function":{"name":"f"}}])";
  const auto rendered = engine.render_chat(request);
  if (!ok(rendered)) return;
  check(!lazyfill::utf8::first_invalid(rendered->text));
  const auto ids = engine.tokenize_chat(*rendered);
  if (!ok(ids)) return;
  for (const int32_t id : *ids) check(is_token(engine, id));
}

void check_generation(const Engine& engine, const lazyfill::Generation& generation) {
  for (const int32_t id : generation.token_ids) check(is_token(engine, id));
  check(!lazyfill::utf8::first_invalid(generation.text));
  for (const auto& top : generation.top_logprobs) {
    check(!top.empty());
    for (const auto& [id, logprob] : top) check(is_token(engine, id) && logprob <= 1e-3F);
  }
}

void step_by_step(const Engine& engine, lazyfill::Session& session, const std::vector<int32_t>& prompt) {
  if (!ok(session.sync(prompt))) return;
  for (int n = 0; n < 3; ++n) {
    if (!ok(session.step())) return;
    check(session.logits().size() == engine.info().n_vocab);
    const auto token = session.sample({.temperature = 1, .seed = 2});
    if (!ok(token)) return;
    check(is_token(engine, *token));
  }
}

void converse(const Engine& engine, const Recipe& recipe, const std::vector<int32_t>& prompt) {
  lazyfill::SessionOptions options;
  options.context_tokens = std::min(engine.info().context_length, kContextTokens);
  options.lazy.schedule = recipe.schedule;
  options.lazy.policy = recipe.policy;
  const auto executor = engine.start_executor({});
  if (!ok(executor)) return;
  auto session = executor->start_session(options);
  if (!ok(session)) return;
  lazyfill::GenerateOptions generate;
  generate.max_tokens = 3;
  generate.n_top_logprobs = 3;
  generate.stop_at_end_token = recipe.stops_at_end;
  generate.sampling.temperature = recipe.temperature;
  generate.sampling.seed = 1;
  for (int turn = 0; turn < 2; ++turn) {
    const auto generation = session->generate(prompt, generate, {});
    if (!ok(generation)) return;
    check_generation(engine, *generation);
  }
  const auto n_tokens = static_cast<int32_t>(engine.info().n_tokens);
  for (const int32_t id : {-1, n_tokens, INT_MAX}) {
    check(!session->generate(std::vector<int32_t>{id}, generate, {}));
    check(!session->append(std::vector<int32_t>{id}));
    check(!session->sync(std::vector<int32_t>{0, id}));
    generate.forced_tokens = {id};
    check(!session->generate(prompt, generate, {}));
    check(!executor->token_logprobs(std::vector<int32_t>{0, id}, {}));
  }
  step_by_step(engine, *session, prompt);
  const auto logprobs = executor->token_logprobs(prompt, {});
  if (ok(logprobs)) {
    check(logprobs->size() == prompt.size());
    for (const float logprob : *logprobs) check(logprob <= 1e-3F);
  }
}

void use(const Engine& engine, const Recipe& recipe) {
  detokenize_anything(engine);
  const std::vector<int32_t> prompt = some_tokens(engine, recipe);
  render(engine);
  converse(engine, recipe, prompt);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const Recipe recipe(input.starts_with("GGUF") ? std::string_view() : input);
  std::vector<std::byte> file;
  if (input.starts_with("GGUF")) {
    file.assign(reinterpret_cast<const std::byte*>(data), reinterpret_cast<const std::byte*>(data) + size);
  } else if (auto bytes = recipe.file()) {
    file = std::move(*bytes);
  }
  const int fd = memfd_create("engine_fuzz", MFD_CLOEXEC);
  if (fd < 0) return 0;
  if (write(fd, file.data(), file.size()) == static_cast<ssize_t>(file.size())) {
    const auto engine = Engine::load("/proc/self/fd/" + std::to_string(fd), {.n_threads = 1});
    if (ok(engine)) use(*engine, recipe);
  }
  close(fd);
  return 0;
}
