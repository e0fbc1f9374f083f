// Reading a request's JSON: every value is checked for its type and its range, and the first fault is kept.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/error.h"

namespace lazyfill::server {

// An object, of valid UTF-8 and with no more than 100 levels. The error says where it is none.
ApiResult<Json> parse_object(std::string_view body);

// A member that is absent or null counts as not given. Names may be alternatives of one another, the first
// that is given counts: {"max_completion_tokens", "max_tokens"}.
class Fields {
 public:
  using Names = std::initializer_list<const char*>;

  // prefix: how the object is called in sentences: "stream_options.".
  explicit Fields(const Json& object, std::string prefix = {})
      : object_(object), prefix_(std::move(prefix)) {}

  bool flag(Names names, bool fallback);
  double number(Names names, double fallback, double min, double max);
  int64_t integer(Names names, int64_t fallback, int64_t min, int64_t max);
  std::string text(Names names, std::string fallback = {});
  // A text, or an array of texts.
  std::vector<std::string> texts(Names names, size_t max_count, size_t max_bytes);
  // Null where it is not given.
  const Json* object(Names names);
  const Json* array(Names names);
  const Json* any(Names names) const;
  bool has(const char* name) const { return any({name}) != nullptr; }

  void refuse(std::string message, std::string param = {});
  const std::optional<ApiError>& error() const { return error_; }

 private:
  // The member and its name; null where it is not given.
  std::pair<const Json*, std::string> find(Names names) const;
  void refuse_type(const std::string& name, const char* wanted);

  const Json& object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

}  // namespace lazyfill::server
