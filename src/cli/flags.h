// The flags of one command. Every flag `--some-flag` can also be set by the variable LAZYFILL_SOME_FLAG.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/words.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace lazyfill::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

class Flags {
 public:
  // `examples` are the first thing that --help shows.
  Flags(std::string_view command, std::string_view summary, std::string_view examples);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // The flags added from here on stand under this title in --help.
  void group(std::string_view title);

  // `names` as CLI11 takes them: "-n,--max-tokens". The value is checked against [min, max].
  void add_text(const std::string& names, std::string& target, const std::string& placeholder,
                const std::string& help);
  void add_text(const std::string& names, std::optional<std::string>& target, const std::string& placeholder,
                const std::string& help);
  // Of every other flag the last one counts; of these all do, in their order.
  void add_texts(const std::string& names, std::vector<std::string>& target, const std::string& placeholder,
                 const std::string& help);
  // minus_one: what -1 means, which elsewhere stands for "no limit" or "choose yourself".
  void add_count(const std::string& names, size_t& target, size_t min, size_t max, const std::string& help,
                 std::optional<size_t> minus_one = std::nullopt);
  void add_last_n(const std::string& names, int32_t& target, size_t max,
                  const std::string& help);  // -1: all
  // Texts with escapes (\n, \t, \r, \\) in place of what there is; "none": no text.
  void add_breakers(const std::string& names, std::vector<std::string>& target, const std::string& help);
  // ID+X or ID-X; all of them count.
  void add_biases(const std::string& names, std::vector<LogitBias>& target, const std::string& help);
  void add_revival(const std::string& names, Revival& target, size_t max, const std::string& help);
  // "sinks=N,window=N", each once; what is not named has its default.
  void add_stream(std::optional<StreamOptions>& target);
  void add_counts(const std::string& names, std::vector<size_t>& target, size_t min, size_t max,
                  const std::string& help);  // comma-separated
  void add_seed(const std::string& names, uint64_t& target, const std::string& help);
  void add_real(const std::string& names, float& target, float min, float max, const std::string& help);
  void add_real(const std::string& names, std::optional<float>& target, float min, float max,
                const std::string& help);
  void add_switch(const std::string& names, bool& target, const std::string& help);
  // The target becomes the index of the chosen name.
  void add_choice(const std::string& names, size_t& target, const std::vector<std::string>& choices,
                  const std::string& help);
  void add_draft(const std::string& names, Draft& target, const std::string& help);
  // --json [FILE], the same in every command: FILE, or "-" where none is given, for standard output.
  void add_json(std::string& target, const std::string& help);
  // Arguments without a flag (cli/words.h): a model where -m is not given, a prompt where -p is not.
  void take_model_word(std::string& model);
  void take_prompt_word(std::optional<std::string>& prompt);
  // One argument without a flag, whatever it is; `placeholder` is its name in --help.
  void take_word(std::string& target, const std::string& placeholder);

  // Empty: go on. Else the exit code: the help was asked for, or the usage was wrong and a sentence is
  // printed.
  std::optional<int> parse(std::vector<std::string> args);
  // The same where they do not stand on the command line: nothing is printed, and there is no help.
  Result<void> read(std::vector<std::string> args);

 private:
  CLI::Option* finish(CLI::Option* option, const std::string& placeholder);
  std::string unknown_sentence(const std::vector<std::string>& unknown) const;
  std::optional<Takes> takes(std::string_view name) const;
  Result<void> parse_understood(std::vector<std::string> args);
  std::string take_words(const std::vector<std::string>& given);

  std::string command_;
  std::string group_ = "Options";
  std::unique_ptr<CLI::App> app_;
  std::string* model_ = nullptr;
  std::string* word_ = nullptr;
  std::optional<std::string>* prompt_ = nullptr;
  std::vector<std::string> words_;
  std::vector<std::string> warnings_;  // of the latest read()
};

// One sentence and a hint on standard error; returns kExitUsage.
int wrong_usage(std::string_view command, std::string_view sentence);

// Exposed for tests: strict decimal parsing, and the candidate nearest to `word` if it is near enough.
std::optional<uint64_t> parse_count(std::string_view text);
std::optional<float> parse_real(std::string_view text);      // finite
std::optional<LogitBias> parse_bias(std::string_view text);  // "15043-inf" too
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace lazyfill::cli
