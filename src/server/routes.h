// What can be asked of the server: one table of paths, which the OpenAPI document, the checks before a body
// is read and the handlers share.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/access.h"
#include "server/metrics.h"
#include "server/service.h"

namespace lazyfill::server {

class Routes;

struct Route {
  std::string_view method;
  std::string_view path;
  bool needs_key = true;
  bool needs_model = true;
  bool is_anthropic = false;  // errors in Anthropic's form
  void (*handle)(const Routes& routes, const HttpRequest& request,
                 const std::shared_ptr<Reply>& reply) = nullptr;
};

std::span<const Route> route_table();

class Routes {
 public:
  Routes(Service& service, Metrics& metrics, Access access)
      : service_(service), metrics_(metrics), access_(std::move(access)) {}

  // Before the body is read.
  std::optional<HttpResponse> gate(const HttpRequest& head) const;
  void handle(const HttpRequest& request, const std::shared_ptr<Reply>& reply) const;

  Service& service() const { return service_; }
  Metrics& metrics() const { return metrics_; }

 private:
  std::optional<HttpResponse> refusal(const HttpRequest& head) const;

  Service& service_;
  Metrics& metrics_;
  const Access access_;
};

}  // namespace lazyfill::server
