// Server-sent events on a reply.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "server/api/error.h"
#include "server/http/http.h"

namespace lazyfill::server {

// Text of a JSON value; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const Json& value);

HttpResponse json_response(int status, const Json& body);

class EventStream {
 public:
  explicit EventStream(std::shared_ptr<Reply> reply) : reply_(std::move(reply)) {}

  void begin();
  void data(const Json& value);                     // data: {...}
  void event(const char* name, const Json& value);  // with its name before it
  void done() { reply_->write("data: [DONE]\n\n"); }
  void comment() { reply_->write(": waiting\n\n"); }
  void end() { reply_->end(); }
  // As the whole answer where nothing has been sent, else as the last event.
  void fail(int status, const Json& error);
  bool has_begun() const { return has_begun_; }
  Reply& reply() { return *reply_; }

 private:
  std::shared_ptr<Reply> reply_;
  bool has_begun_ = false;
};

}  // namespace lazyfill::server
