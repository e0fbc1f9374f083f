#include "server/routes.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "server/api/dialect.h"
#include "server/api/events.h"
#include "server/api/fields.h"
#include "server/introspection.h"
#include "server/openapi.h"
#include "server/page/page.h"

namespace lazyfill::server {
namespace {

using ReplyPointer = std::shared_ptr<Reply>;

template <class T>
using Body = Json (*)(const T&);

// An error in the form of the API that the route belongs to.
HttpResponse error_response(const ApiError& error, bool is_anthropic) {
  HttpResponse response =
      json_response(error.status, is_anthropic ? anthropic_error(error) : openai_error(error));
  if (error.status == 401) response.headers.push_back({"WWW-Authenticate", "Basic realm=\"lazyfill\""});
  if (error.status == 503 || error.status == 429) response.headers.push_back({"Retry-After", "1"});
  return response;
}

// Its clients name the version of its API on every path.
bool wants_anthropic(const HttpRequest& head) {
  return head.path.starts_with("/v1/messages") || head.header("anthropic-version") != nullptr;
}

// Requests in the background, such as titles, say so.
int priority_of(const HttpRequest& request) {
  const std::string* app = request.header("x-app");
  return app != nullptr && *app == "cli-bg" ? -1 : 0;
}

template <const Dialect& kDialect>
void answer(const Routes& routes, const HttpRequest& request, const ReplyPointer& reply) {
  const std::shared_ptr<Loaded> loaded = routes.service().loaded();
  auto read = parse_object(request.body).and_then([&](const Json& body) {
    auto out = kDialect.read(loaded->engine, body);
    if (out && !body.contains("lazy")) out->request.lazy = loaded->lazy;
    return out;
  });
  if (!read) return reply->send(json_response(read.error().status, kDialect.error(read.error())));
  loaded->answers.answer(kDialect, std::move(*read), reply, priority_of(request));
}

// A route whose answer is computed at once.
template <ApiResult<Json> (*kCompute)(const Loaded&, const Json&)>
void compute(const Routes& routes, const HttpRequest& request, const ReplyPointer& reply) {
  const std::shared_ptr<Loaded> loaded = routes.service().loaded();
  auto body =
      parse_object(request.body).and_then([&](const Json& object) { return kCompute(*loaded, object); });
  if (!body) return reply->send(error_response(body.error(), wants_anthropic(request)));
  reply->send(json_response(200, *body));
}

template <Json (*kShow)(const Service&, const Loaded&)>
void show(const Routes& routes, const HttpRequest&, const ReplyPointer& reply) {
  reply->send(json_response(200, kShow(routes.service(), *routes.service().loaded())));
}

constexpr std::string_view kModels = "/v1/models/";

void show_model(const Routes& routes, const HttpRequest& request, const ReplyPointer& reply) {
  const std::string_view name = std::string_view(request.path).substr(kModels.size());
  auto body = model(routes.service(), *routes.service().loaded(), name);
  if (!body) return reply->send(error_response(body.error(), wants_anthropic(request)));
  reply->send(json_response(200, *body));
}

void openapi(const Routes& routes, const HttpRequest&, const ReplyPointer& reply) {
  reply->send(json_response(200, openapi_document(routes.service().version)));
}

void health(const Routes& routes, const HttpRequest&, const ReplyPointer& reply) {
  if (routes.service().loaded() != nullptr) return reply->send(json_response(200, {{"status", "ok"}}));
  reply->send(json_response(503, {{"status", "loading"}}));
}

void metrics(const Routes& routes, const HttpRequest&, const ReplyPointer& reply) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  const std::shared_ptr<Loaded> loaded = routes.service().loaded();
  response.body = routes.metrics().text(loaded ? loaded->generator->status() : SchedulerStatus{});
  reply->send(std::move(response));
}

// Shown while the model loads, too.
void page(const Routes&, const HttpRequest& request, const ReplyPointer& reply) {
  reply->send(page_asset(request.path));
}

constexpr std::array kRoutes = {
    Route{"POST", "/v1/chat/completions", true, true, false, answer<kChatCompletions>},
    Route{"POST", "/v1/completions", true, true, false, answer<kCompletions>},
    Route{"POST", "/v1/responses", true, true, false, answer<kResponses>},
    Route{"POST", "/v1/messages", true, true, true, answer<kMessages>},
    Route{"POST", "/v1/messages/count_tokens", true, true, true, compute<count_tokens>},
    Route{"POST", "/v1/responses/input_tokens", true, true, false, compute<count_input_tokens>},
    Route{"GET", "/v1/models", true, true, false, show<models>},
    Route{"GET", "/v1/models/{model}", true, true, false, show_model},
    Route{"POST", "/infill", true, true, false, answer<kInfill>},
    Route{"POST", "/tokenize", true, true, false, compute<tokenize>},
    Route{"POST", "/detokenize", true, true, false, compute<detokenize>},
    Route{"POST", "/apply-template", true, true, false, compute<apply_template>},
    Route{"GET", "/props", true, true, false, show<props>},
    Route{"GET", "/slots", true, true, false, show<slots>},
    Route{"GET", "/health", false, false, false, health},
    Route{"GET", "/v1/health", false, false, false, health},
    Route{"GET", "/metrics", true, false, false, metrics},
    Route{"GET", "/openapi.json", true, false, false, openapi},
    Route{"GET", "/", true, false, false, page},
    Route{"GET", "/page/{file}", true, false, false, page},
};

ApiError with_status(int status, std::string type, std::string message) {
  ApiError error;
  error.status = status;
  error.type = std::move(type);
  error.message = std::move(message);
  return error;
}

// What stands in braces is the rest of the path: names of models may have slashes.
bool fits(const Route& route, std::string_view path) {
  const size_t brace = route.path.find('{');
  if (brace == std::string_view::npos) return route.path == path;
  return path.size() > brace && path.starts_with(route.path.substr(0, brace));
}

const Route* find_route(std::string_view method, std::string_view path) {
  // A HEAD is a GET whose body is not sent.
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  const auto found = std::find_if(kRoutes.begin(), kRoutes.end(), [&](const Route& route) {
    return route.method == wanted && fits(route, path);
  });
  return found == kRoutes.end() ? nullptr : &*found;
}

std::string methods_of(std::string_view path) {
  std::string methods;
  for (const Route& route : kRoutes) {
    if (fits(route, path)) methods += (methods.empty() ? "" : ", ") + std::string(route.method);
  }
  return methods;
}

}  // namespace

std::span<const Route> route_table() {
  return kRoutes;
}

std::optional<HttpResponse> Routes::refusal(const HttpRequest& head) const {
  const bool is_anthropic = wants_anthropic(head);
  const Route* route = find_route(head.method, head.path);
  const bool is_preflight = head.method == "OPTIONS" && head.header("Origin") != nullptr;
  // Who may not ask is not told what there is.
  const bool needs_key = !is_preflight && (route == nullptr || route->needs_key);
  if (auto refused = access_.refuse(head, needs_key)) return error_response(*refused, is_anthropic);
  if (is_preflight) return HttpResponse{.status = 204, .content_type = "", .body = "", .headers = {}};
  if (route == nullptr) {
    const std::string methods = methods_of(head.path);
    if (methods.empty()) {
      return error_response(with_status(404, "not_found_error",
                                        "there is no such path; /openapi.json lists those that there are"),
                            is_anthropic);
    }
    HttpResponse response =
        error_response(with_status(405, "invalid_request_error", "this path takes " + methods), is_anthropic);
    response.headers.push_back({"Allow", methods});
    return response;
  }
  if (route->needs_model && service_.loaded() == nullptr) {
    return error_response(
        with_status(503, "server_error", "the model is still loading; try again in a moment"), is_anthropic);
  }
  return std::nullopt;
}

std::optional<HttpResponse> Routes::gate(const HttpRequest& head) const {
  auto refused = refusal(head);
  if (!refused) return std::nullopt;
  for (Header& header : access_.cors_headers(head)) refused->headers.push_back(std::move(header));
  return refused;
}

namespace {

// A reply whose headers let a page of another origin read it.
class SharedReply : public Reply {
 public:
  SharedReply(ReplyPointer reply, std::vector<Header> headers)
      : reply_(std::move(reply)), headers_(std::move(headers)) {}
  void send(HttpResponse response) override {
    response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
    reply_->send(std::move(response));
  }
  void begin_stream(int status, std::string content_type, std::vector<Header> headers) override {
    headers.insert(headers.end(), headers_.begin(), headers_.end());
    reply_->begin_stream(status, std::move(content_type), std::move(headers));
  }
  bool write(std::string piece) override { return reply_->write(std::move(piece)); }
  void end() override { reply_->end(); }
  std::stop_token gone() const override { return reply_->gone(); }

 private:
  const ReplyPointer reply_;
  const std::vector<Header> headers_;
};

}  // namespace

void Routes::handle(const HttpRequest& request, const ReplyPointer& reply) const {
  const Route* route = find_route(request.method, request.path);
  if (route == nullptr) return;  // the gate refuses it
  std::vector<Header> headers = access_.cors_headers(request);
  const ReplyPointer target =
      headers.empty() ? reply : std::make_shared<SharedReply>(reply, std::move(headers));
  try {
    route->handle(*this, request, target);
  } catch (const std::bad_alloc&) {
    target->send(error_response(with_status(503, "server_error", "not enough memory for this request"),
                                route->is_anthropic));
  }
}

}  // namespace lazyfill::server
