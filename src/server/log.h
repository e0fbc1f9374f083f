// The server's log: one JSON object a line, on standard error. Texts of users do not stand in it, and what
// else comes from outside is escaped, so that nobody can write a line of their own.
#pragma once

#include <mutex>

#include "server/answers.h"

namespace lazyfill::server {

class Log {
 public:
  explicit Log(bool is_quiet) : is_quiet_(is_quiet) {}
  // fields: an object.
  void write(const char* level, const char* event, const Json& fields);
  void write(const AnswerRecord& record);

 private:
  const bool is_quiet_;  // errors alone
  std::mutex mutex_;
};

}  // namespace lazyfill::server
