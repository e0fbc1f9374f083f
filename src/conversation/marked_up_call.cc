#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "conversation/tool_call.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kFunctionEnd = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kParameterEnd = "</parameter>";
constexpr size_t kLongestName = 256;

std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// As templates write values: texts as they are, other values as JSON, or as Python shows them.
std::string json_of(const std::string& value, bool is_text) {
  if (is_text) return quoted(value);
  if (value == "True") return "true";
  if (value == "False") return "false";
  if (value == "None") return "null";
  return Json::accept(value) ? value : quoted(value);
}

class MarkedUpReader : public CallReader {
 public:
  MarkedUpReader(bool has_begun, const TextParameters& parameters)
      : parameters_(parameters), phase_(has_begun ? Phase::kName : Phase::kBegin), tag_({kFunction}) {}

  State finish() override {
    used_ = n_read();  // half an end of the call too
    return calls_so_far();
  }

 private:
  enum class Phase { kBegin, kName, kInside, kParameterName, kValue, kEnd };

  State read(char c) override {
    switch (phase_) {
      case Phase::kBegin:
        return on_tag(c, [&] { phase_ = Phase::kName; });
      case Phase::kName:
        return on_name(c, name_, [&] { expect_inside(); });
      case Phase::kInside:
        return on_tag(c, [&] { take_tag(tag_.word()); });
      case Phase::kParameterName:
        return on_name(c, parameter_, [&] { begin_value(); });
      case Phase::kValue:
        return on_value(c);
      case Phase::kEnd: {
        const auto state = tag_.push(c);
        if (state == WordReader::State::kFound) used_ = n_read();
        return state == WordReader::State::kMore ? State::kMore : State::kCalls;
      }
    }
    return State::kNoCall;
  }

  template <class Fn>
  State on_tag(char c, Fn found) {
    const auto state = tag_.push(c);
    if (state == WordReader::State::kOther) return State::kNoCall;
    if (state == WordReader::State::kFound) found();
    return State::kMore;
  }

  template <class Fn>
  State on_name(char c, std::string& name, Fn found) {
    if (c == '>' && !name.empty()) {
      found();
      return State::kMore;
    }
    if (c == '>' || c == '<' || c == '\n' || name.size() == kLongestName) return State::kNoCall;
    name += c;
    return State::kMore;
  }

  // The end of a value is one that another parameter or the end of the function follows: texts may hold
  // anything else.
  State on_value(char c) {
    value_ += c;
    if (!value_end_) {
      if (c == '>' && value_.ends_with(kParameterEnd)) expect_after_value();
      return State::kMore;
    }
    const auto state = tag_.push(c);
    if (state == WordReader::State::kOther) value_end_.reset();
    if (state == WordReader::State::kFound) {
      end_value();
      take_tag(std::string(tag_.word()));
    }
    return State::kMore;
  }

  void expect_inside() {
    phase_ = Phase::kInside;
    tag_ = WordReader({kParameter, kFunctionEnd});
  }
  void expect_after_value() {
    value_end_ = value_.size() - kParameterEnd.size();
    tag_ = WordReader({kParameter, kFunctionEnd});
  }

  void take_tag(const std::string& tag) {
    if (tag == kParameter) {
      phase_ = Phase::kParameterName;
      parameter_.clear();
      return;
    }
    calls_.push_back({name_, arguments()});
    used_ = n_read();
    phase_ = Phase::kEnd;
    tag_ = WordReader({"</tool_call>"});
  }

  void begin_value() {
    phase_ = Phase::kValue;
    value_.clear();
    value_end_.reset();
  }

  void end_value() {
    value_.resize(*value_end_);
    if (value_.ends_with('\n')) value_.pop_back();
    if (value_.starts_with('\n')) value_.erase(0, 1);
    std::string json = json_of(value_, parameters_.contain(name_, parameter_));
    const auto [place, is_new] = places_.emplace(parameter_, values_.size());
    if (is_new)
      values_.emplace_back(parameter_, std::move(json));
    else
      values_[place->second].second = std::move(json);
  }

  std::string arguments() const {
    std::string text = "{";
    for (const auto& [name, value] : values_)
      text += (text.size() > 1 ? ", " : "") + quoted(name) + ": " + value;
    return text + "}";
  }

  const TextParameters& parameters_;
  Phase phase_;
  WordReader tag_;
  std::string name_;
  std::string parameter_;
  std::string value_;
  std::optional<size_t> value_end_;  // bytes of value_, if it ends there
  std::vector<std::pair<std::string, std::string>> values_;
  std::unordered_map<std::string, size_t> places_;  // in values_, by name
};

}  // namespace

std::unique_ptr<CallReader> read_marked_up_call(std::string_view has_read, const TextParameters& parameters) {
  return std::make_unique<MarkedUpReader>(has_read == kFunction, parameters);
}

}  // namespace lazyfill
