// A server that answers without a model, for tools that load or attack servers:
//
//   http_tool PORT [CERTIFICATE KEY]    /stream sends 100 events, POSTs get their body back; ends with its
//   input
#include <cstdio>
#include <string>

#include "server/http/http.h"

using namespace lazyfill::server;

namespace {

void answer(const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
  if (request.path != "/stream")
    return reply->send({200, "text/plain", request.method == "POST" ? request.body : "hello\n", {}});
  reply->begin_stream(200, "text/event-stream", {});
  for (int i = 0; i < 100; ++i) reply->write("data: event " + std::to_string(i) + "\n\n");
  reply->end();
}

}  // namespace

int main(int argc, char** argv) {
  HttpOptions options;
  options.port = static_cast<uint16_t>(argc > 1 ? std::stoi(argv[1]) : 0);
  if (argc > 3) {
    options.tls_certificate = argv[2];
    options.tls_key = argv[3];
  }
  auto server = HttpServer::start(options, nullptr, answer);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  std::printf("%d\n", server->port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  server->shutdown(std::chrono::milliseconds(1000));
  return 0;
}
