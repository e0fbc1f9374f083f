// The server with a script in the model's place, for tests of what clients see: HTTP, templates, the
// tokeniser and the parsing of answers are the real ones, but what the model "writes" stands in lines of
// standard input.
//
//   scripted_server MODEL.gguf REQUESTS [KEEP_ALIVE_MS]
//
// It prints "listening at http://..." as `lazyfill serve` does, and ends with its standard input. Each line
// there is what becomes of one request, in turn; all members are optional:
//   {"pieces": [text...],    what the model writes, cut as it comes
//    "finish": "length",     why it ends; otherwise "stop"
//    "start_ms": 0,          waited for before the request's turn comes, its prompt is computed,
//    "first_ms": 0,          and there is a first token,
//    "piece_ms": 0,          and between the pieces
//    "n_cached": 0,          of the prompt's tokens
//    "refuse": "busy",       the request is not taken: an ErrorCode's name
//    "fail": "out of memory"}  it ends with that error after its pieces
// For each request one line of JSON is appended to the file REQUESTS: what the model was asked.
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "server/server.h"

namespace {

using namespace lazyfill;          // NOLINT: a tool of one file
using namespace lazyfill::server;  // NOLINT

// A request finds its line there, or the test forgot it.
constexpr std::chrono::seconds kPatience{10};

ErrorCode code_of(std::string_view name) {
  if (name == "busy") return ErrorCode::kBusy;
  if (name == "context exceeded") return ErrorCode::kContextExceeded;
  if (name == "cancelled") return ErrorCode::kCancelled;
  return ErrorCode::kOutOfMemory;
}

// The lines that are not played yet.
class Script {
 public:
  void add(Json line) {
    {
      const std::scoped_lock lock(mutex_);
      lines_.push_back(std::move(line));
    }
    changed_.notify_all();
  }

  Result<Json> next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return !lines_.empty(); }))
      return fail(ErrorCode::kInvalidArgument, "the script has no line for this request");
    Json line = std::move(lines_.front());
    lines_.pop_front();
    return line;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Json> lines_;
};

class ScriptedGenerator : public Generator {
 public:
  ScriptedGenerator(const Engine& engine, Script& script, const std::string& requests)
      : engine_(engine), script_(script), requests_(requests, std::ios::app) {}

  ~ScriptedGenerator() override {
    std::vector<std::jthread> players;
    {
      const std::scoped_lock lock(mutex_);
      quits_ = true;
      players.swap(players_);
    }
    for (std::jthread& player : players) player.request_stop();
  }

  Result<void> submit(std::vector<Request> requests) override {
    for (Request& request : requests) {
      auto line = script_.next();
      if (!line) return tl::unexpected(line.error());
      const std::scoped_lock lock(mutex_);
      if (quits_) return fail(ErrorCode::kCancelled, "the server ends");
      write_down(request);
      if (line->contains("refuse"))
        return fail(code_of((*line)["refuse"].get<std::string>()), "as the script says");
      players_.emplace_back([this, asked = std::move(request), plan = std::move(*line)](
                                const std::stop_token& quits) { play(asked, plan, quits); });
    }
    return {};
  }

  SchedulerStatus status() const override { return {}; }

 private:
  void write_down(const Request& request) { requests_ << json_line(request) << std::endl; }

  std::string json_line(const Request& request) const {
    const Json line = {{"prompt", engine_.detokenize(request.tokens, true)},
                       {"n_prompt_tokens", request.tokens.size()},
                       {"n_dense_tokens", request.n_dense_tokens},
                       {"priority", request.priority},
                       {"cache_salt", request.cache_salt},
                       {"max_tokens", request.options.max_tokens},
                       {"guide", request.options.guide.source}};
    return line.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  // False: the client has gone, or the server ends.
  static bool wait(const Json& plan, const char* name, const Request& request, const std::stop_token& quits) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(plan.value(name, 0));
    const auto stops = [&] { return request.callbacks.stop.stop_requested() || quits.stop_requested(); };
    while (!stops() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return !stops();
  }

  void play(const Request& request, const Json& plan, const std::stop_token& quits) const {
    Generation answer;
    answer.prompt_token_ids = request.tokens;
    answer.prefix.n_cached_tokens = plan.value("n_cached", size_t{0});
    answer.prefix.n_agreeing_tokens = answer.prefix.n_cached_tokens;
    answer.finish_reason =
        plan.value("finish", "stop") == std::string("length") ? FinishReason::kLength : FinishReason::kStop;
    if (!wait(plan, "start_ms", request, quits)) return request.on_end(cancelled());
    if (request.on_start) request.on_start(answer.prefix);
    if (!wait(plan, "first_ms", request, quits)) return request.on_end(cancelled());
    for (const Json& piece : plan.value("pieces", Json::array())) {
      if (!write(request, piece.get<std::string>(), answer) || !wait(plan, "piece_ms", request, quits)) {
        answer.finish_reason = FinishReason::kCancelled;
        return request.on_end(std::move(answer));
      }
    }
    if (plan.contains("fail"))
      return request.on_end(fail(code_of(plan["fail"].get<std::string>()), "as the script says"));
    request.on_end(std::move(answer));
  }

  // A piece is complete with the last of its tokens.
  bool write(const Request& request, const std::string& text, Generation& answer) const {
    const auto ids = engine_.tokenize(text, false, true);
    if (!ids) return false;
    answer.text += text;
    for (size_t i = 0; i < ids->size(); ++i) {
      answer.token_ids.push_back((*ids)[i]);
      if (request.callbacks.on_logprobs) request.callbacks.on_logprobs({(*ids)[i], -0.5F}, {});
      const bool is_last = i + 1 == ids->size();
      if (request.callbacks.on_token &&
          !request.callbacks.on_token((*ids)[i], is_last ? std::string_view(text) : ""))
        return false;
    }
    return true;
  }

  static Result<Generation> cancelled() { return fail(ErrorCode::kCancelled, "the request was stopped"); }

  const Engine engine_;
  Script& script_;
  std::mutex mutex_;  // of what follows
  std::ofstream requests_;
  std::vector<std::jthread> players_;
  bool quits_ = false;
};

int complain(const std::string& message) {
  std::cerr << "scripted_server: " << message << "\n";
  return 1;
}

Result<void> serve(const std::string& model, const std::string& requests,
                   std::chrono::milliseconds keep_alive) {
  auto engine = Engine::load(model, {.n_threads = 1});
  if (!engine) return tl::unexpected(engine.error());
  ServerOptions options;
  options.http.port = 0;
  options.access.is_loopback = true;
  options.access.host = "127.0.0.1";
  options.shutdown_grace = std::chrono::milliseconds(0);
  options.version = "0";
  auto server = Server::start(options);
  if (!server) return tl::unexpected(server.error());
  Script script;
  AnswersOptions answers;
  answers.n_ctx = engine->info().context_length;
  answers.keep_alive = keep_alive;
  answers.model_name = "scripted";
  (*server)->load(*engine, std::make_unique<ScriptedGenerator>(*engine, script, requests), answers, {}, {});
  std::printf("listening at http://127.0.0.1:%d\n", (*server)->port());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    Json plan = Json::parse(line, nullptr, false);
    if (!plan.is_object()) return fail(ErrorCode::kInvalidArgument, "a line is no JSON object");
    script.add(std::move(plan));
  }
  (*server)->shutdown();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return complain("needs MODEL.gguf and REQUESTS");
  int keep_alive_ms = 60'000;
  if (argc > 3) {
    const std::string_view text = argv[3];
    if (std::from_chars(text.data(), text.data() + text.size(), keep_alive_ms).ec != std::errc() ||
        keep_alive_ms < 1)
      return complain("KEEP_ALIVE_MS is a number");
  }
  const auto served = serve(argv[1], argv[2], std::chrono::milliseconds(keep_alive_ms));
  return served ? 0 : complain(served.error().message);
}
