#include "tokenizer/jinja/from_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace lazyfill::jinja {
namespace {

constexpr size_t kMaxDepth = 60;
constexpr size_t kMaxMembers = 4096;  // a mapping is searched from its beginning

// Called by the parser for one event after the other, so that no depth of the text is a depth of calls.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add(Value(None{}).as_said()); }
  bool boolean(bool value) override { return add(Value(value).as_said()); }
  bool number_integer(number_integer_t value) override { return add(Value(int64_t{value}).as_said()); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) return fail("holds a whole number beyond 64 bits");
    return add(Value(static_cast<int64_t>(value)).as_said());
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) return fail("holds a whole number beyond 64 bits");
    return add(Value(value).as_said());
  }
  bool string(string_t& value) override { return add(Value(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return fail("is no JSON text"); }
  bool start_object(size_t /*n*/) override { return open(true); }
  bool start_array(size_t /*n*/) override { return open(false); }
  bool key(string_t& value) override {
    open_.back().key = std::move(value);
    return true;
  }
  bool end_object() override {
    Dict dict = std::move(open_.back().dict);
    open_.pop_back();
    return add(Value(std::move(dict)));
  }
  bool end_array() override {
    std::vector<Value> items = std::move(open_.back().items);
    open_.pop_back();
    return add(Value::list(std::move(items)));
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return fail("is no valid JSON (around byte " + std::to_string(position) + ")");
  }

  const std::string& why() const { return why_; }
  Value take() { return std::move(result_); }

 private:
  struct Container {
    bool is_object = false;
    std::string key;
    Dict dict;
    std::vector<Value> items;
  };

  bool fail(const std::string& why) {
    if (why_.empty()) why_ = why;
    return false;
  }
  bool open(bool is_object) {
    if (open_.size() >= kMaxDepth)
      return fail("is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    open_.push_back({is_object, {}, {}, {}});
    return true;
  }
  bool add(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (!open_.back().is_object) {
      open_.back().items.push_back(std::move(value));
    } else {
      if (open_.back().dict.items.size() >= kMaxMembers)
        return fail("holds an object of more than " + std::to_string(kMaxMembers) + " members");
      open_.back().dict.set(Value(std::move(open_.back().key)), std::move(value));
    }
    return true;
  }

  std::vector<Container> open_;
  Value result_;
  std::string why_;
};

}  // namespace

Result<Value> from_json(std::string_view json, std::string_view what) {
  Builder builder;
  const bool parsed = nlohmann::json::sax_parse(json, &builder);
  if (!parsed) return lazyfill::fail(ErrorCode::kInvalidArgument, std::string(what) + " " + builder.why());
  return builder.take();
}

}  // namespace lazyfill::jinja
