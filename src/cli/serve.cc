// lazyfill serve: the model behind HTTP, for any client.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "server/server.h"

namespace lazyfill::cli {
namespace {

constexpr char kServe[] = "serve";
constexpr char kSummary[] =
    "Answers over HTTP, in OpenAI's and Anthropic's forms, many clients at a time; a page to try it is at /.";
constexpr char kExamples[] =
    "  lazyfill serve                                  # http://127.0.0.1:8080\n"
    "  lazyfill serve -m model.gguf --port 9000 --lazy fast\n"
    "  lazyfill serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert cert.pem --tls-key key.pem\n"
    "  curl http://127.0.0.1:8080/v1/chat/completions -d "
    "'{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'\n";

struct ServeFlags {
  ModelFlags model;
  LazyFlags lazy;
  std::string alias;
  std::string host = "127.0.0.1";
  size_t port = 8080;
  std::string unix_socket;
  std::string tls_certificate;
  std::string tls_key;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::vector<std::string> origins;
  std::vector<std::string> hosts;
  size_t n_http_threads = 2;
  size_t max_connections = 512;
  size_t max_body_mib = 16;
  size_t max_sequences = 16;
  size_t queue = 64;
  size_t turn_ms = 50;
  size_t kv_memory_mib = 0;
  std::string state;
  size_t default_tokens = 2048;
  size_t keep_alive_s = 5;
  size_t grace_s = 10;

  void add_to(Flags& flags);
  server::HttpOptions http() const;
  SchedulerOptions scheduling(size_t context_tokens) const;
};

void ServeFlags::add_to(Flags& flags) {
  model.add_to(flags);
  flags.add_text("--alias", alias, "NAME", "What clients see as the model's name; default: the file's");
  flags.group("Where it listens");
  flags.add_text("--host", host, "ADDRESS",
                 "The address to listen at; default 127.0.0.1, which only this machine reaches");
  flags.add_count("--port", port, 0, 65535, "The port; 0: any free one, which is printed; default 8080");
  flags.add_text("--unix-socket", unix_socket, "PATH", "Listen at this Unix socket instead");
  flags.add_text("--tls-cert", tls_certificate, "FILE",
                 "A certificate in PEM form: clients come over TLS; with --tls-key");
  flags.add_text("--tls-key", tls_key, "FILE", "Its private key");
  flags.group("Who may ask");
  flags.add_texts("--api-key", api_keys, "KEY",
                  "Clients must send this key, on every path but /health; may be given several times");
  flags.add_text("--api-key-file", api_key_file, "FILE", "A file of such keys, one a line");
  flags.add_texts(
      "--cors-origin", origins, "ORIGIN",
      "Let web pages of this origin ask, such as https://example.org; default: only our own page");
  flags.add_texts(
      "--allow-host", hosts, "NAME",
      "A further name that clients may call this server by; default: names of this machine, or with another "
      "--host every one");
  flags.group("How many, and when (docs/scheduling.md)");
  flags.add_count("--max-sequences", max_sequences, 1, 4096,
                  "Requests that are computed at a time; default 16");
  flags.add_count("--queue", queue, 1, 1U << 20, "Requests that may wait; one more gets 429; default 64");
  flags.add_count(
      "--turn-ms", turn_ms, 1, 60000,
      "Milliseconds that prompts may take between two tokens of the answers that are being written; "
      "default 50");
  flags.add_count(
      "--kv-memory", kv_memory_mib, 1, size_t{1} << 24,
      "MiB for the keys, values and states of all requests and of the prompt cache; default: half of the "
      "memory that is free");
  flags.add_text("--state", state, "DIR", "A folder where the prompt cache is kept for the next start");
  flags.add_count("-n,--max-tokens", default_tokens, 1, 1U << 24,
                  "Tokens of an answer where the request does not say; default 2048");
  flags.add_count("--keep-alive", keep_alive_s, 1, 3600,
                  "Seconds after which a stream that is silent says that it lives; default 5");
  flags.add_count("--grace", grace_s, 0, 3600,
                  "Seconds that answers have to end after Ctrl-C or SIGTERM; default 10");
  flags.add_count("--http-threads", n_http_threads, 1, 64, "Threads that read requests; default 2");
  flags.add_count("--max-connections", max_connections, 1, 65536, "Connections at a time; default 512");
  flags.add_count("--max-body", max_body_mib, 1, 1024, "MiB of a request's body; default 16");
  lazy.add_to(flags);
}

server::HttpOptions ServeFlags::http() const {
  server::HttpOptions options;
  options.host = host;
  options.port = static_cast<uint16_t>(port);
  options.unix_socket = unix_socket;
  options.tls_certificate = tls_certificate;
  options.tls_key = tls_key;
  options.n_threads = n_http_threads;
  options.max_connections = max_connections;
  options.max_body_bytes = max_body_mib << 20;
  return options;
}

SchedulerOptions ServeFlags::scheduling(size_t context_tokens) const {
  SchedulerOptions options;
  options.context_tokens = context_tokens;
  options.max_sequences = max_sequences;
  options.max_queue = queue;
  options.turn_ms = static_cast<double>(turn_ms);
  options.kv_memory_bytes = uint64_t{kv_memory_mib} << 20;
  options.state_folder = state;
  return options;
}

Result<std::vector<std::string>> keys_of(const ServeFlags& flags) {
  std::vector<std::string> keys = flags.api_keys;
  if (!flags.api_key_file.empty()) {
    std::ifstream file(flags.api_key_file);
    if (!file) return fail(ErrorCode::kNotFound, "cannot read the keys in " + quote(flags.api_key_file));
    for (std::string key; std::getline(file, key);) {
      if (key.ends_with('\r')) key.pop_back();
      if (!key.empty()) keys.push_back(key);
    }
    if (keys.size() == flags.api_keys.size())
      return fail(ErrorCode::kInvalidArgument, quote(flags.api_key_file) + " holds no key; write one a line");
  }
  if (std::find(keys.begin(), keys.end(), "") != keys.end())
    return fail(ErrorCode::kInvalidArgument, "--api-key must not be empty");
  return keys;
}

bool is_loopback(const ServeFlags& flags) {
  return flags.unix_socket.empty() &&
         (flags.host == "localhost" || flags.host == "::1" || flags.host.starts_with("127."));
}

std::string address_of(const ServeFlags& flags, uint16_t port) {
  if (!flags.unix_socket.empty()) return "unix socket " + quote(flags.unix_socket);
  const bool is_v6 = flags.host.find(':') != std::string::npos;
  return std::string(flags.tls_certificate.empty() ? "http://" : "https://") +
         (is_v6 ? "[" + flags.host + "]" : flags.host) + ":" + std::to_string(port);
}

Result<std::unique_ptr<server::Server>> start_server(const ServeFlags& flags) {
  auto keys = keys_of(flags);
  if (!keys) return tl::unexpected(keys.error());
  server::ServerOptions options;
  options.http = flags.http();
  options.access = {std::move(*keys), flags.origins, flags.hosts, flags.host, is_loopback(flags)};
  options.is_quiet = flags.model.quiet;
  options.version = LAZYFILL_VERSION;
  options.shutdown_grace = std::chrono::seconds(flags.grace_s);
  return server::Server::start(std::move(options));
}

Result<void> load(const ServeFlags& flags, server::Server& server) {
  auto loaded = load_engine(flags.model);
  if (!loaded) return tl::unexpected(loaded.error());
  auto context = resolve_context(flags.model, loaded->engine.info());
  if (!context) return tl::unexpected(context.error());
  const LazyOptions lazy = flags.lazy.resolve();
  if (auto fits = loaded->engine.resolve_schedule(lazy, *context); !fits) return tl::unexpected(fits.error());
  const SchedulerOptions scheduling = flags.scheduling(*context);
  auto scheduler = Scheduler::start(loaded->executor, scheduling);
  if (!scheduler) return tl::unexpected(scheduler.error());
  for (const std::string& note : scheduler->notes())
    server.log().write("warning", "state", {{"message", note}});
  server::AnswersOptions answers;
  answers.n_ctx = *context;
  answers.default_max_tokens = flags.default_tokens;
  answers.keep_alive = std::chrono::seconds(flags.keep_alive_s);
  answers.model_name = flags.alias;
  if (answers.model_name.empty()) {
    const std::string path = likely_model_path(flags.model.path);
    answers.model_name = std::filesystem::path(path).stem().string();
  }
  server.load(loaded->engine, std::make_unique<server::ScheduledGenerator>(std::move(*scheduler)), answers,
              scheduling, lazy);
  server.log().write("info", "ready",
                     {{"model", answers.model_name}, {"n_ctx", *context}, {"load_ms", loaded->load_ms}});
  return {};
}

// Create it before any other thread: threads inherit that the signals are blocked, so that they arrive only
// where somebody waits for them.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  // Whether one has come; waits a little for it.
  bool has_come() {
    const timespec patience = {0, 200'000'000};
    const int received = sigtimedwait(&set_, nullptr, &patience);
    if (received > 0) received_ = received;
    return received_ != 0;
  }
  // From here on they end the program at once.
  void unblock() { pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }
  void end_program() {
    unblock();
    raise(received_);
  }

 private:
  sigset_t set_{};
  int received_ = 0;
};

int serve(const ServeFlags& flags) {
  EndSignals signals;
  auto server = start_server(flags);
  if (!server) return report_failure(kServe, server.error());
  // Scripts that start a server wait for this line; it comes before the model is there.
  std::printf("listening at %s\n", address_of(flags, (*server)->port()).c_str());
  std::fflush(stdout);
  auto loading = std::async(std::launch::async, [&] { return load(flags, **server); });
  const auto has_loaded = [&] {
    return loading.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  while (!signals.has_come()) {
    if (!loading.valid() || !has_loaded()) continue;
    if (auto done = loading.get(); !done) return report_failure(kServe, done.error());
  }
  if (loading.valid() && !has_loaded()) signals.end_program();
  signals.unblock();
  (*server)->log().write("info", "shutdown", server::Json::object());
  (*server)->shutdown();
  return kExitDone;
}

}  // namespace

int serve_command(const std::vector<std::string>& args) {
  return guarded(kServe, [&] {
    ServeFlags options;
    Flags flags(kServe, kSummary, kExamples);
    options.add_to(flags);
    if (const auto exit_code = flags.parse(args)) return *exit_code;
    return serve(options);
  });
}

}  // namespace lazyfill::cli
