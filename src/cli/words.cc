#include "cli/words.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstring>

#include "cli/flags.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

struct Renamed {
  std::string_view theirs;
  std::string_view ours;
};
constexpr Renamed kRenamed[] = {
    {"--temperature", "--temp"},
    {"--repetition-penalty", "--repeat-penalty"},
    {"--dry-range", "--dry-penalty-last-n"},
    {"-l", "--logit-bias"},
    {"--n-predict", "--max-tokens"},
    {"--num-predict", "--max-tokens"},
    {"--predict", "--max-tokens"},
    {"--max-new-tokens", "--max-tokens"},
    {"--max-completion-tokens", "--max-tokens"},
    {"--n-tokens", "--max-tokens"},
    {"--ctx-size", "--ctx"},
    {"--n-ctx", "--ctx"},
    {"--num-ctx", "--ctx"},
    {"--context", "--ctx"},
    {"--context-size", "--ctx"},
    {"--context-length", "--ctx"},
    {"--max-model-len", "--ctx"},
    {"--n-threads", "--threads"},
    {"--num-thread", "--threads"},
    {"--num-threads", "--threads"},
    {"--model-path", "--model"},
    {"--prompt-file", "--file"},
    {"--system-prompt", "--system"},
    {"-sys", "--system"},
    {"--reverse-prompt", "--stop"},
    {"-r", "--stop"},
    {"--stop-sequence", "--stop"},
    {"--stop-sequences", "--stop"},
    {"--conversation", "--chat"},
    {"-cnv", "--chat"},
    {"--apply-chat-template", "--chat"},
    {"--colour", "--color"},
    {"--cache-type-k", "--kv"},
    {"-ctk", "--kv"},
    {"--silent", "--quiet"},
    {"-q", "--quiet"},
};

// Flags that change nothing here. kMaybe: a value follows if it is one of those that such switches have.
enum class Follows { kNothing, kValue, kMaybe };
struct Ignored {
  std::string_view theirs;
  Follows follows;
  std::string_view why;
};
constexpr std::string_view kNoGpu = "lazyfill computes on the processor";
constexpr std::string_view kOwnBlocks = "lazyfill chooses the blocks of a prompt itself";
constexpr std::string_view kOwnWay = "lazyfill does it in its own way";
constexpr std::string_view kShown = "times are shown without asking, and --quiet leaves them out";
constexpr Ignored kIgnored[] = {
    {"-ngl", Follows::kValue, kNoGpu},
    {"--n-gpu-layers", Follows::kValue, kNoGpu},
    {"--gpu-layers", Follows::kValue, kNoGpu},
    {"--num-gpu", Follows::kValue, kNoGpu},
    {"--main-gpu", Follows::kValue, kNoGpu},
    {"-mg", Follows::kValue, kNoGpu},
    {"--split-mode", Follows::kValue, kNoGpu},
    {"-sm", Follows::kValue, kNoGpu},
    {"--tensor-split", Follows::kValue, kNoGpu},
    {"-ts", Follows::kValue, kNoGpu},
    {"--device", Follows::kValue, kNoGpu},
    {"-dev", Follows::kValue, kNoGpu},
    {"-b", Follows::kValue, kOwnBlocks},
    {"--batch-size", Follows::kValue, kOwnBlocks},
    {"-ub", Follows::kValue, kOwnBlocks},
    {"--ubatch-size", Follows::kValue, kOwnBlocks},
    {"-tb", Follows::kValue, "--threads counts for prompts and answers"},
    {"--threads-batch", Follows::kValue, "--threads counts for prompts and answers"},
    {"-fa", Follows::kMaybe, kOwnWay},
    {"--flash-attn", Follows::kMaybe, kOwnWay},
    {"--mlock", Follows::kNothing, kOwnWay},
    {"--mmap", Follows::kNothing, kOwnWay},
    {"--no-mmap", Follows::kNothing, kOwnWay},
    {"--no-warmup", Follows::kNothing, kOwnWay},
    {"--jinja", Follows::kNothing, "chat templates are always rendered in full"},
    {"--single-turn", Follows::kNothing, "run answers once; chat goes on"},
    {"-st", Follows::kNothing, "run answers once; chat goes on"},
    {"--no-conversation", Follows::kNothing, "run completes a text unless --chat is given"},
    {"-no-cnv", Follows::kNothing, "run completes a text unless --chat is given"},
    {"--no-display-prompt", Follows::kNothing, "the prompt is never shown"},
    {"--log-disable", Follows::kNothing, "--quiet leaves out what is no result"},
    {"--simple-io", Follows::kNothing, kOwnWay},
    {"--verbose", Follows::kNothing, kShown},
    {"-v", Follows::kNothing, kShown},
};

struct Hint {
  std::string_view theirs;
  std::string_view sentence;
};
constexpr Hint kHints[] = {
    {"--version", "is no flag of a command: lazyfill --version shows the version"},
    {"-V", "is no flag of a command: lazyfill --version shows the version"},
    {"-i", "is another command here: lazyfill chat"},
    {"--interactive", "is another command here: lazyfill chat"},
    {"--system-prompt-file", "takes a file: give the text with --system \"$(cat FILE)\""},
    {"-sysf", "takes a file: give the text with --system \"$(cat FILE)\""},
    {"--cache-type-v", "is set together with the keys': --kv q8_0 or --kv f16"},
    {"-ctv", "is set together with the keys': --kv q8_0 or --kv f16"},
    {"--greedy", "is --temp 0 here"},
    {"--output-format", "is --json FILE here"},
    {"--format", "is --json FILE here"},
    {"--no-lazy", "is --lazy off here"},
};

struct Command {
  std::string_view theirs;
  std::string_view ours;
};
constexpr Command kCommands[] = {
    {"generate", "run"},    {"complete", "run"},   {"completion", "run"},  {"cli", "run"},
    {"ask", "run"},         {"prompt", "run"},     {"infer", "run"},       {"answer", "run"},
    {"show", "inspect"},    {"info", "inspect"},   {"gguf", "inspect"},    {"dump", "inspect"},
    {"benchmark", "bench"}, {"perf", "bench"},     {"talk", "chat"},       {"interactive", "chat"},
    {"repl", "chat"},       {"tune", "calibrate"}, {"encode", "tokenize"}, {"tokens", "tokenize"},
    {"count", "tokenize"},  {"why", "explain"},    {"download", "pull"},   {"fetch", "pull"},
    {"get", "pull"},        {"list", "models"},    {"ls", "models"},
};

template <class Row, size_t N>
const Row* row_of(const Row (&rows)[N], std::string_view theirs) {
  const auto* found =
      std::find_if(std::begin(rows), std::end(rows), [&](const Row& row) { return row.theirs == theirs; });
  return found == std::end(rows) ? nullptr : found;
}

bool has_letter_case_ending(std::string_view text, std::string_view ending) {
  if (text.size() < ending.size()) return false;
  text.remove_prefix(text.size() - ending.size());
  return std::equal(text.begin(), text.end(), ending.begin(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

bool is_file(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool begins_as_gguf(const std::string& path) {
  if (!is_file(path)) return false;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  char magic[4] = {};
  const size_t n = std::fread(magic, 1, sizeof magic, file);
  std::fclose(file);
  return n == sizeof magic && std::memcmp(magic, "GGUF", sizeof magic) == 0;
}

// Goes through the arguments from left to right.
class Understanding {
 public:
  Understanding(const std::vector<std::string>& args, const KnownFlags& known) : args_(args), known_(known) {}

  Result<UnderstoodArgs> run() {
    while (at_ < args_.size()) {
      const std::string& arg = args_[at_++];
      if (arg == "--") {
        result_.words.assign(args_.begin() + static_cast<ptrdiff_t>(at_), args_.end());
        break;
      }
      if (arg.size() < 2 || arg.front() != '-') {
        result_.args.push_back(arg);
      } else if (auto done = flag(arg); !done) {
        return tl::unexpected(done.error());
      }
    }
    return std::move(result_);
  }

 private:
  Result<void> flag(const std::string& arg) {
    const size_t equals = arg.find('=');
    const std::string given = arg.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : arg.substr(equals);  // "=VALUE"
    const std::string theirs = dashed(given);
    const std::string name = our_name(given, theirs);
    if (const auto takes = known_(name)) {
      take(name, value, *takes);
      return {};
    }
    if (const Ignored* row = row_of(kIgnored, theirs)) {
      result_.warnings.push_back(given + " is ignored: " + std::string(row->why));
      const bool has_next = value.empty() && at_ < args_.size();
      if (has_next && (row->follows == Follows::kValue ||
                       (row->follows == Follows::kMaybe && is_switch_value(args_[at_]))))
        ++at_;
      return {};
    }
    if (const Hint* row = row_of(kHints, theirs))
      return fail(ErrorCode::kInvalidArgument, given + " " + std::string(row->sentence));
    if (arg[1] != '-') result_.names.push_back(arg.substr(0, 2));
    result_.args.push_back(arg);  // "-n5", or a flag that nobody knows
    return {};
  }

  static std::string dashed(std::string name) {  // --max_tokens
    if (name[1] == '-') std::replace(name.begin(), name.end(), '_', '-');
    return name;
  }

  // As given where it is ours or means nothing.
  std::string our_name(const std::string& given, const std::string& dashed) const {
    if (known_(given)) return given;
    if (known_(dashed)) return dashed;
    if (const Renamed* row = row_of(kRenamed, dashed); row != nullptr && known_(row->ours))
      return std::string(row->ours);
    // One dash before a long name. "-n5" is no name, and stays.
    if (dashed[1] == '-' || dashed.size() < 4 || row_of(kIgnored, dashed) != nullptr) return given;
    if (known_("-" + dashed)) return "-" + dashed;
    const Renamed* row = row_of(kRenamed, "-" + dashed);
    return row != nullptr && known_(row->ours) ? std::string(row->ours) : given;
  }

  void take(const std::string& name, const std::string& value, Takes takes) {
    result_.names.push_back(name);
    if (takes == Takes::kMaybeFile) {
      const bool has_next = value.empty() && at_ < args_.size();
      // A model after it is one where no other is named, and no file to write to.
      const bool is_model = has_next && !has_model() && names_model(args_[at_]);
      const bool is_its_file = has_next && (args_[at_] == "-" || (!args_[at_].starts_with("-") && !is_model));
      result_.args.push_back(name + (!value.empty() ? value : "=" + (is_its_file ? args_[at_] : "-")));
      if (is_its_file) ++at_;
      return;
    }
    result_.args.push_back(name + value);
    if (takes == Takes::kValue && value.empty() && at_ < args_.size()) result_.args.push_back(args_[at_++]);
  }

  bool has_model() const {
    return std::any_of(args_.begin(), args_.end(),
                       [](const std::string& arg) { return arg == "-m" || arg == "--model"; });
  }

  static bool is_switch_value(const std::string& word) {
    constexpr std::array kValues = {"on", "off", "auto", "0", "1", "true", "false"};
    return std::find(kValues.begin(), kValues.end(), word) != kValues.end();
  }

  const std::vector<std::string>& args_;
  const KnownFlags& known_;
  size_t at_ = 0;
  UnderstoodArgs result_;
};

// A word of its own in a sentence: not "12" in "512" or "12,000".
bool names_value(std::string_view sentence, std::string_view value) {
  const auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == ',' || c == '-';
  };
  for (size_t at = sentence.find(value); at != std::string_view::npos; at = sentence.find(value, at + 1)) {
    const size_t end = at + value.size();
    const bool begins = at == 0 || !is_part(sentence[at - 1]);
    const bool ends = end == sentence.size() || !is_part(sentence[end]) || end + 1 == sentence.size() ||
                      sentence[end + 1] == ' ';
    if (begins && ends) return true;
  }
  return false;
}

}  // namespace

Result<UnderstoodArgs> understand_args(const std::vector<std::string>& args, const KnownFlags& known) {
  return Understanding(args, known).run();
}

bool names_model(const std::string& word) {
  return has_letter_case_ending(word, ".gguf") || word.starts_with("hf:") || begins_as_gguf(word);
}

std::string understand_words(const std::vector<std::string>& words, std::string& model,
                             std::optional<std::string>* prompt) {
  std::vector<std::string> rest;
  for (const std::string& word : words) {
    if (!names_model(word)) {
      rest.push_back(word);
    } else if (!model.empty()) {
      return "two models are given, " + quote(model) + " and " + quote(word) + ": leave one out";
    } else {
      model = word;
    }
  }
  if (rest.empty()) return {};
  if (prompt == nullptr)
    return "unexpected argument " + quote(rest[0]) + ": a model is a file in GGUF format, -m MODEL.gguf";
  if (rest.size() > 1)
    return "unexpected argument " + quote(rest[1]) + ": a prompt with spaces needs quotation marks, -p \"" +
           printable(rest[0]) + " ...\"";
  const std::string& word = rest[0];
  if (prompt->has_value()) return "two prompts are given, with -p and as " + quote(word) + ": leave one out";
  if (word.find_first_of(" \t\n") == std::string::npos) {
    if (is_file(word))
      return quote(word) + " is a file: -f reads the prompt from it, -p takes it as the text";
    if (word.find_first_of("/:") != std::string::npos)
      return quote(word) + " may be meant as a model or as a prompt: give -m MODEL.gguf or -p TEXT";
  }
  *prompt = word;
  return {};
}

std::string_view our_command(std::string_view word) {
  const Command* row = row_of(kCommands, word);
  return row == nullptr ? std::string_view() : row->ours;
}

std::string variables_behind(std::string_view sentence) {
  constexpr std::string_view kPrefix = "LAZYFILL_";
  std::vector<std::string> names;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    const size_t equals = variable.find('=');
    if (!variable.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string_view name = variable.substr(0, equals);
    const std::string_view value = variable.substr(equals + 1);
    if (value.empty() || sentence.find(name) != std::string_view::npos) continue;
    std::string flag = "--" + std::string(name.substr(kPrefix.size()));
    std::transform(flag.begin(), flag.end(), flag.begin(),
                   [](unsigned char c) { return c == '_' ? '-' : static_cast<char>(std::tolower(c)); });
    const auto count = parse_count(value);
    const bool has_value = names_value(sentence, value) || (count && names_value(sentence, grouped(*count)));
    const bool is_quoted = sentence.find(quote(value)) != std::string_view::npos ||
                           sentence.find('"' + std::string(value) + '"') != std::string_view::npos;
    if (is_quoted || (names_value(sentence, flag) && has_value)) names.emplace_back(name);
  }
  if (names.empty()) return {};
  return " (from the variable " + join(names, " and ") + ")";
}

}  // namespace lazyfill::cli
