// The whole server: HTTP at the front, a scheduler at the back.
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "server/access.h"
#include "server/http/http.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/routes.h"
#include "server/service.h"

namespace lazyfill::server {

struct ServerOptions {
  HttpOptions http;
  AccessOptions access;
  bool is_quiet = false;
  std::string version;
  std::chrono::milliseconds shutdown_grace{10'000};
};

class Server {
 public:
  // Listens at once: until load() is called, /health says that the model is loading.
  static Result<std::unique_ptr<Server>> start(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void load(Engine engine, std::unique_ptr<Generator> generator, const AnswersOptions& options,
            const SchedulerOptions& scheduling, const LazyOptions& lazy);
  uint16_t port() const { return http_->port(); }
  Log& log() { return log_; }
  // Takes nothing new, lets answers end for a while, then ends their streams with an error.
  void shutdown();

 private:
  explicit Server(ServerOptions options);

  const ServerOptions options_;
  Log log_;
  Metrics metrics_;
  Service service_;
  Routes routes_;
  std::optional<HttpServer> http_;
};

}  // namespace lazyfill::server
