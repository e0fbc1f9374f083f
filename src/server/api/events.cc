#include "server/api/events.h"

namespace lazyfill::server {

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse json_response(int status, const Json& body) {
  HttpResponse response;
  response.status = status;
  response.body = json_text(body);
  return response;
}

void EventStream::begin() {
  has_begun_ = true;
  // Proxies such as nginx would keep events until a buffer is full.
  reply_->begin_stream(200, "text/event-stream",
                       {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
}

void EventStream::data(const Json& value) {
  reply_->write("data: " + json_text(value) + "\n\n");
}

void EventStream::event(const char* name, const Json& value) {
  reply_->write("event: " + std::string(name) + "\ndata: " + json_text(value) + "\n\n");
}

void EventStream::fail(int status, const Json& error) {
  if (!has_begun_) return reply_->send(json_response(status, error));
  data(error);
  end();
}

}  // namespace lazyfill::server
