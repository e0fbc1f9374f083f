#include "server/api/fields.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace lazyfill::server {
namespace {

constexpr size_t kMaxDepth = 100;

// Brackets outside of texts. The parser itself takes any depth, but what it makes is let go of recursively.
size_t depth_of(std::string_view json) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

std::string number_text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

}  // namespace

ApiResult<Json> parse_object(std::string_view body) {
  if (depth_of(body) > kMaxDepth)
    return refuse("the body has more than " + std::to_string(kMaxDepth) + " levels of nested values");
  Json value;
  try {
    value = Json::parse(body);
  } catch (const Json::parse_error& error) {
    return refuse("the body is no valid JSON: the fault is at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    return refuse("the body is no valid JSON: a number in it is too large");
  }
  if (!value.is_object()) return refuse("the body must be a JSON object");
  return value;
}

std::pair<const Json*, std::string> Fields::find(Names names) const {
  for (const char* name : names) {
    const auto member = object_.find(name);
    if (member != object_.end() && !member->is_null()) return {&*member, name};
  }
  return {nullptr, *names.begin()};
}

const Json* Fields::any(Names names) const {
  return find(names).first;
}

void Fields::refuse(std::string message, std::string param) {
  if (!error_) error_ = bad_request(std::move(message), std::move(param));
}

void Fields::refuse_type(const std::string& name, const char* wanted) {
  refuse(prefix_ + name + " must be " + wanted, prefix_ + name);
}

bool Fields::flag(Names names, bool fallback) {
  const auto [value, name] = find(names);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  refuse_type(name, "true or false");
  return fallback;
}

double Fields::number(Names names, double fallback, double min, double max) {
  const auto [value, name] = find(names);
  if (value == nullptr) return fallback;
  if (value->is_number()) {
    const double number = value->get<double>();
    if (std::isfinite(number) && number >= min && number <= max) return number;
  }
  refuse(prefix_ + name + " must be a number from " + number_text(min) + " to " + number_text(max),
         prefix_ + name);
  return fallback;
}

int64_t Fields::integer(Names names, int64_t fallback, int64_t min, int64_t max) {
  const auto [value, name] = find(names);
  if (value == nullptr) return fallback;
  if (value->is_number_unsigned()) {
    const auto number = value->get<uint64_t>();
    if (max >= 0 && number <= static_cast<uint64_t>(max) &&
        (min <= 0 || number >= static_cast<uint64_t>(min)))
      return static_cast<int64_t>(number);
  } else if (value->is_number_integer()) {
    const auto number = value->get<int64_t>();
    if (number >= min && number <= max) return number;
  } else if (value->is_number_float()) {  // 5.0, as some clients write whole numbers
    const double number = value->get<double>();
    if (number == std::floor(number) && number >= static_cast<double>(min) &&
        number <= static_cast<double>(max) && std::abs(number) < 9e15)
      return static_cast<int64_t>(number);
  }
  refuse(
      prefix_ + name + " must be a whole number from " + std::to_string(min) + " to " + std::to_string(max),
      prefix_ + name);
  return fallback;
}

std::string Fields::text(Names names, std::string fallback) {
  const auto [value, name] = find(names);
  if (value == nullptr) return fallback;
  if (value->is_string()) return value->get<std::string>();
  refuse_type(name, "a text");
  return fallback;
}

std::vector<std::string> Fields::texts(Names names, size_t max_count, size_t max_bytes) {
  const auto [value, name] = find(names);
  if (value == nullptr) return {};
  std::vector<std::string> texts;
  const bool is_one = value->is_string();
  if (!is_one && !value->is_array()) {
    refuse_type(name, "a text or an array of texts");
    return {};
  }
  if (!is_one && value->size() > max_count) {
    refuse(prefix_ + name + " may have at most " + std::to_string(max_count) + " texts", prefix_ + name);
    return {};
  }
  const auto add = [&](const Json& one) {
    if (!one.is_string()) return refuse_type(name, "a text or an array of texts");
    texts.push_back(one.get<std::string>());
    if (texts.back().empty()) refuse(prefix_ + name + " must not hold an empty text", prefix_ + name);
    if (texts.back().size() > max_bytes) {
      refuse("a text of " + prefix_ + name + " is longer than " + std::to_string(max_bytes) + " bytes",
             prefix_ + name);
    }
  };
  if (is_one) {
    add(*value);
  } else {
    std::for_each(value->begin(), value->end(), add);
  }
  return texts;
}

const Json* Fields::object(Names names) {
  const auto [value, name] = find(names);
  if (value != nullptr && !value->is_object()) {
    refuse_type(name, "an object");
    return nullptr;
  }
  return value;
}

const Json* Fields::array(Names names) {
  const auto [value, name] = find(names);
  if (value != nullptr && !value->is_array()) {
    refuse_type(name, "an array");
    return nullptr;
  }
  return value;
}

}  // namespace lazyfill::server
