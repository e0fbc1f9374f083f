#include "cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "cli/terminal.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

// Summary, examples, then the flags: who asks for help mostly wants a line to copy.
class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return app->get_description() + "\n\nExamples:\n" + app->get_footer() + "\n" + make_usage(app, name) +
           make_positionals(app) + make_groups(app, mode) +
           "\nEvery flag --some-flag can also be set by the environment variable LAZYFILL_SOME_FLAG.\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage.\n";
  }
  std::string make_usage(const CLI::App* app, std::string) const override {
    std::string words;
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) words = " " + option->get_description();
    }
    return "Usage: " + app->get_name() + words + " [FLAGS]\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_name().empty() ? "" : " " + option->get_type_name();
  }

 private:
  std::string make_positionals(const CLI::App*) const override { return ""; }
};

[[noreturn]] void reject(const std::string& flag, const std::string& sentence) {
  throw CLI::ValidationError(flag, sentence);
}

std::string flag_name(const std::string& names) {
  const size_t comma = names.rfind(',');
  return comma == std::string::npos ? names : names.substr(comma + 1);
}

size_t checked_count(const std::string& flag, std::string_view text, size_t min, size_t max) {
  const auto value = parse_count(text);
  if (!value || *value < min || *value > max) {
    const std::string limits = max == std::numeric_limits<size_t>::max()
                                   ? "from " + std::to_string(min) + " on"
                                   : "from " + std::to_string(min) + " to " + std::to_string(max);
    reject(flag, "takes a whole number " + limits + ", not " + quote(text));
  }
  return *value;
}

float checked_real(const std::string& flag, const std::string& text, float min, float max) {
  const auto value = parse_real(text);
  if (!value || *value < min || *value > max) {
    reject(flag,
           "takes a number from " + short_number(min) + " to " + short_number(max) + ", not " + quote(text));
  }
  return *value;
}

// A backslash before any other character stays.
std::string unescaped(std::string_view text) {
  constexpr std::string_view kNames = "ntr\\";
  constexpr std::string_view kMeant = "\n\t\r\\";
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t which =
        text[i] == '\\' && i + 1 < text.size() ? kNames.find(text[i + 1]) : std::string_view::npos;
    if (which != std::string_view::npos) ++i;
    result += which == std::string_view::npos ? text[i] : kMeant[which];
  }
  return result;
}

// CLI11's "Could not convert: --quiet = perhaps" as a sentence like the others.
std::string switch_sentence(const std::string& message) {
  const size_t begin = message.find("--");
  const size_t equals = message.find(" = ");
  if (begin == std::string::npos || equals == std::string::npos || equals < begin)
    return "a switch takes no value but true or false";
  return message.substr(begin, equals - begin) + " takes no value but true or false, not " +
         quote(message.substr(equals + 3));
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<uint64_t> parse_count(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<float> parse_real(std::string_view text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<LogitBias> parse_bias(std::string_view text) {
  const size_t sign = text.find_first_of("+-");
  if (sign == std::string_view::npos) return std::nullopt;
  const auto id = parse_count(text.substr(0, sign));
  if (!id || *id > std::numeric_limits<int32_t>::max()) return std::nullopt;
  const std::string_view size = text.substr(sign + 1);
  LogitBias bias{static_cast<int32_t>(*id), 0};
  if (text[sign] == '-' && size == "inf") {
    bias.bias = -std::numeric_limits<float>::infinity();
    return bias;
  }
  const auto value = parse_real(size);
  if (!value || size.front() == '-') return std::nullopt;
  bias.bias = text[sign] == '-' ? -*value : *value;
  return bias;
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // Words from the command line can be megabytes; names are short.
  if (word.size() > 40) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

int wrong_usage(std::string_view command, std::string_view sentence) {
  const std::string program = command.empty() ? "lazyfill" : "lazyfill " + std::string(command);
  std::fprintf(stderr, "%s: %s%s\nTry '%s --help'.\n", program.c_str(), std::string(sentence).c_str(),
               variables_behind(sentence).c_str(), program.c_str());
  return kExitUsage;
}

Flags::Flags(std::string_view command, std::string_view summary, std::string_view examples)
    : command_(command),
      app_(std::make_unique<CLI::App>(std::string(summary), "lazyfill " + std::string(command))) {
  app_->footer(std::string(examples));
  auto formatter = std::make_shared<ExamplesFirst>();
  formatter->column_width(34);
  app_->formatter(formatter);
  app_->set_help_flag("-h,--help", "Print this help and exit");
  app_->allow_extras();  // reported by report_unknown()
}

Flags::~Flags() = default;

void Flags::group(std::string_view title) {
  group_ = title;
}

CLI::Option* Flags::finish(CLI::Option* option, const std::string& placeholder) {
  option->group(group_);
  if (!placeholder.empty()) option->type_name(placeholder);
  if (!option->get_lnames().empty()) {
    std::string variable = "LAZYFILL_" + option->get_lnames().front();
    for (char& c : variable)
      c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    option->envname(variable);
  }
  return option;
}

void Flags::add_text(const std::string& names, std::string& target, const std::string& placeholder,
                     const std::string& help) {
  auto set = [&target](const std::string& value) { target = value; };
  finish(app_->add_option_function<std::string>(names, set, help), placeholder)->take_last();
}

void Flags::add_text(const std::string& names, std::optional<std::string>& target,
                     const std::string& placeholder, const std::string& help) {
  auto set = [&target](const std::string& value) { target = value; };
  finish(app_->add_option_function<std::string>(names, set, help), placeholder)->take_last();
}

void Flags::add_texts(const std::string& names, std::vector<std::string>& target,
                      const std::string& placeholder, const std::string& help) {
  auto set = [&target](const std::vector<std::string>& values) { target = values; };
  finish(app_->add_option_function<std::vector<std::string>>(names, set, help), placeholder)
      ->allow_extra_args(false)
      ->take_all();
}

void Flags::add_count(const std::string& names, size_t& target, size_t min, size_t max,
                      const std::string& help, std::optional<size_t> minus_one) {
  auto set = [&target, min, max, minus_one, flag = flag_name(names)](const std::string& value) {
    target = minus_one && value == "-1" ? *minus_one : checked_count(flag, value, min, max);
  };
  finish(app_->add_option_function<std::string>(names, set, help), "N")->take_last();
}

void Flags::add_last_n(const std::string& names, int32_t& target, size_t max, const std::string& help) {
  auto set = [&target, max, flag = flag_name(names)](const std::string& value) {
    target = value == "-1" ? -1 : static_cast<int32_t>(checked_count(flag, value, 0, max));
  };
  finish(app_->add_option_function<std::string>(names, set, help), "N")->take_last();
}

void Flags::add_breakers(const std::string& names, std::vector<std::string>& target,
                         const std::string& help) {
  auto set = [&target](const std::vector<std::string>& values) {
    target.clear();
    for (const std::string& value : values)
      if (value != "none") target.push_back(unescaped(value));
  };
  finish(app_->add_option_function<std::vector<std::string>>(names, set, help), "TEXT")
      ->allow_extra_args(false)
      ->take_all();
}

void Flags::add_biases(const std::string& names, std::vector<LogitBias>& target, const std::string& help) {
  auto set = [&target, flag = flag_name(names)](const std::vector<std::string>& values) {
    target.clear();
    for (const std::string& value : values) {
      const auto bias = parse_bias(value);
      if (!bias)
        reject(flag, "takes a token id and what is added, such as 15043+1 or 15043-inf, not " + quote(value));
      target.push_back(*bias);
    }
  };
  finish(app_->add_option_function<std::vector<std::string>>(names, set, help), "ID(+|-)X")
      ->allow_extra_args(false)
      ->take_all();
}

void Flags::add_revival(const std::string& names, Revival& target, size_t max, const std::string& help) {
  auto set = [&target, max, flag = flag_name(names)](const std::string& value) {
    if (value == "all" || value == "auto") {
      target = value == "all" ? Revival::all() : Revival::automatic();
      return;
    }
    const auto count = parse_count(value);
    if (!count || *count > max)
      reject(flag,
             "takes a whole number up to " + std::to_string(max) + " or all or auto, not " + quote(value));
    target = Revival::up_to(*count);
  };
  finish(app_->add_option_function<std::string>(names, set, help), "N")->take_last();
}

void Flags::add_stream(std::optional<StreamOptions>& target) {
  constexpr size_t kMost = size_t{1} << 30;
  auto set = [&target](const std::string& value) {
    StreamOptions stream;
    std::vector<std::string> seen;
    for (const std::string& part : split(value, ',')) {
      const std::string name = part.substr(0, part.find('='));
      const bool is_new = std::find(seen.begin(), seen.end(), name) == seen.end();
      if (name == part || (name != "sinks" && name != "window") || !is_new)
        reject("--stream", "takes sinks=N,window=N, not " + quote(value));
      seen.push_back(name);
      const bool is_window = name == "window";
      (is_window ? stream.window : stream.sinks) =
          checked_count("--stream " + name, part.substr(name.size() + 1), is_window ? 1 : 0, kMost);
    }
    target = stream;
  };
  finish(app_->add_option_function<std::string>(
             "--stream", set,
             "A prompt and an answer of any length in memory that does not grow: each token sees the first N "
             "tokens (sinks; default 4) and the newest N (window; default 2000)"),
         "sinks=N,window=N")
      ->take_last();
}

void Flags::add_counts(const std::string& names, std::vector<size_t>& target, size_t min, size_t max,
                       const std::string& help) {
  auto set = [&target, min, max, flag = flag_name(names)](const std::string& value) {
    target.clear();
    for (const std::string& part : split(value, ',')) target.push_back(checked_count(flag, part, min, max));
  };
  finish(app_->add_option_function<std::string>(names, set, help), "N,N,...")->take_last();
}

void Flags::add_seed(const std::string& names, uint64_t& target, const std::string& help) {
  auto set = [&target, flag = flag_name(names)](const std::string& value) {
    target = value == "-1" ? 0 : checked_count(flag, value, 0, std::numeric_limits<size_t>::max());
  };
  finish(app_->add_option_function<std::string>(names, set, help), "N")->take_last();
}

void Flags::add_real(const std::string& names, float& target, float min, float max, const std::string& help) {
  auto set = [&target, min, max, flag = flag_name(names)](const std::string& text) {
    target = checked_real(flag, text, min, max);
  };
  finish(app_->add_option_function<std::string>(names, set, help), "X")->take_last();
}

void Flags::add_real(const std::string& names, std::optional<float>& target, float min, float max,
                     const std::string& help) {
  auto set = [&target, min, max, flag = flag_name(names)](const std::string& text) {
    target = checked_real(flag, text, min, max);
  };
  finish(app_->add_option_function<std::string>(names, set, help), "X")->take_last();
}

void Flags::add_switch(const std::string& names, bool& target, const std::string& help) {
  finish(app_->add_flag(names, target, help), "");
}

void Flags::add_choice(const std::string& names, size_t& target, const std::vector<std::string>& choices,
                       const std::string& help) {
  auto set = [&target, choices, flag = flag_name(names)](const std::string& value) {
    const auto found = std::find(choices.begin(), choices.end(), value);
    if (found == choices.end()) reject(flag, "is one of " + join(choices, ", ") + ", not " + quote(value));
    target = static_cast<size_t>(found - choices.begin());
  };
  finish(app_->add_option_function<std::string>(names, set, help), join(choices, "|"))->take_last();
}

void Flags::add_draft(const std::string& names, Draft& target, const std::string& help) {
  static const std::vector<std::string> choices = {"none", "recycle", "lookup", "auto"};
  auto set = [&target, flag = flag_name(names)](const std::string& value) {
    const auto found = std::find(choices.begin(), choices.end(), value);
    if (found == choices.end()) reject(flag, "is one of " + join(choices, ", ") + ", not " + quote(value));
    target = static_cast<Draft>(found - choices.begin());
  };
  finish(app_->add_option_function<std::string>(names, set, help), join(choices, "|"))->take_last();
}

void Flags::add_json(std::string& target, const std::string& help) {
  add_text("--json", target, "FILE",
           help + "; without a FILE, or with -, on standard output in place of the text");
}

void Flags::take_model_word(std::string& model) {
  model_ = &model;
  app_->add_option("words", words_, "[MODEL.gguf]");
}

void Flags::take_prompt_word(std::optional<std::string>& prompt) {
  prompt_ = &prompt;
  app_->get_option("words")->description("[MODEL.gguf] [PROMPT]");
}

void Flags::take_word(std::string& target, const std::string& placeholder) {
  word_ = &target;
  app_->add_option("words", words_, placeholder);
}

std::optional<int> Flags::parse(std::vector<std::string> args) {
  auto done = read(std::move(args));
  if (done) {
    for (const std::string& warning : warnings_) Terminal(true).warn(printable(warning));
    return std::nullopt;
  }
  if (done.error().code != ErrorCode::kCancelled) return wrong_usage(command_, done.error().message);
  std::printf("%s", app_->help().c_str());
  return kExitDone;
}

std::optional<Takes> Flags::takes(std::string_view name) const {
  const CLI::Option* option = app_->get_option_no_throw(std::string(name));
  if (option == nullptr || option->get_positional()) return std::nullopt;
  if (name == "--json") return Takes::kMaybeFile;
  return option->get_items_expected_max() == 0 ? Takes::kNothing : Takes::kValue;
}

Result<void> Flags::read(std::vector<std::string> args) {
  auto understood = understand_args(args, [this](std::string_view name) { return takes(name); });
  if (!understood) return tl::unexpected(understood.error());
  warnings_ = std::move(understood->warnings);
  words_.clear();
  if (auto parsed = parse_understood(std::move(understood->args)); !parsed) return parsed;
  words_.insert(words_.end(), understood->words.begin(), understood->words.end());
  if (std::string sentence = take_words(understood->names); !sentence.empty())
    return fail(ErrorCode::kInvalidArgument, std::move(sentence));
  return {};
}

// A word on the command line counts before a variable.
std::string Flags::take_words(const std::vector<std::string>& given) {
  if (words_.empty()) return {};
  if (word_ != nullptr && words_.size() == 1) {
    *word_ = words_.front();
    return {};
  }
  if (word_ != nullptr) return "unexpected argument " + quote(words_[1]);
  if (model_ == nullptr) return "unexpected argument " + quote(words_.front());
  const auto is_given = [&](const char* short_name, const char* name) {
    return std::any_of(given.begin(), given.end(),
                       [&](const std::string& one) { return one == short_name || one == name; });
  };
  std::string model = is_given("-m", "--model") ? *model_ : "";
  std::optional<std::string> prompt;
  if (prompt_ != nullptr && is_given("-p", "--prompt")) prompt = *prompt_;
  std::string sentence = understand_words(words_, model, prompt_ == nullptr ? nullptr : &prompt);
  if (!model.empty()) *model_ = std::move(model);
  if (prompt) *prompt_ = std::move(prompt);
  return sentence;
}

Result<void> Flags::parse_understood(std::vector<std::string> args) {
  const auto refuse = [](std::string sentence) {
    return fail(ErrorCode::kInvalidArgument, std::move(sentence));
  };
  std::reverse(args.begin(), args.end());  // the order CLI11 takes a vector in
  try {
    app_->parse(std::move(args));
  } catch (const CLI::CallForHelp&) {
    return fail(ErrorCode::kCancelled, "--help is no flag here");
  } catch (const CLI::ValidationError& error) {
    // "--flag: takes a number ..." reads better as one sentence.
    std::string message = error.what();
    const size_t colon = message.find(": ");
    if (colon != std::string::npos) message.erase(colon, 1);
    return refuse(message);
  } catch (const CLI::ArgumentMismatch& error) {
    return refuse(split(error.what(), ' ').front() + " needs a value");
  } catch (const CLI::ConversionError& error) {
    return refuse(switch_sentence(error.what()));
  } catch (const CLI::ParseError& error) {
    return refuse(printable(error.what()));
  }
  const std::vector<std::string> unknown = app_->remaining();
  if (!unknown.empty()) return refuse(unknown_sentence(unknown));
  return {};
}

std::string Flags::unknown_sentence(const std::vector<std::string>& unknown) const {
  const std::string& first = unknown.front();
  if (first.empty() || first.front() != '-')
    return "unexpected argument " + quote(first) + "; texts with spaces need quotation marks";
  std::vector<std::string> names;
  for (const CLI::Option* option : app_->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  const std::string flag = split(first, '=').front();
  std::string sentence = "unknown flag " + quote(flag);
  if (const auto candidate = nearest(flag, names)) sentence += "; did you mean " + *candidate + "?";
  return sentence;
}

}  // namespace lazyfill::cli
