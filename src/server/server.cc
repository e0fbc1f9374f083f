#include "server/server.h"

namespace lazyfill::server {

Server::Server(ServerOptions options)
    : options_(std::move(options)),
      log_(options_.is_quiet),
      routes_(service_, metrics_, Access(options_.access)) {
  service_.version = options_.version;
  service_.started_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  std::unique_ptr<Server> server(new Server(std::move(options)));
  auto http = HttpServer::start(
      server->options_.http,
      [&routes = server->routes_](const HttpRequest& head) { return routes.gate(head); },
      [&routes = server->routes_](const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
        routes.handle(request, reply);
      });
  if (!http) return tl::unexpected(http.error());
  server->http_.emplace(std::move(*http));
  return server;
}

Server::~Server() {
  shutdown();
}

void Server::load(Engine engine, std::unique_ptr<Generator> generator, const AnswersOptions& options,
                  const SchedulerOptions& scheduling, const LazyOptions& lazy) {
  auto loaded = std::make_shared<Loaded>(std::move(engine), std::move(generator), options, scheduling,
                                         [this](const AnswerRecord& record) {
                                           metrics_.count(record);
                                           log_.write(record);
                                         });
  loaded->lazy = lazy;
  service_.set_loaded(std::move(loaded));
}

void Server::shutdown() {
  if (!http_) return;
  http_->shutdown(options_.shutdown_grace);
  http_.reset();
  service_.set_loaded(nullptr);
}

}  // namespace lazyfill::server
