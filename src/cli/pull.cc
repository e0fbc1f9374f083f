// lazyfill pull: a model by its name, into the user's cache.
#include <cstdio>

#include "cli/command.h"
#include "cli/hub.h"
#include "cli/options.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "pull";
constexpr char kSummary[] =
    "Fetches a model in GGUF format from a hub into the user's cache, checks it, and prints its path. What "
    "is "
    "there is not fetched again, and what was cut goes on.";
constexpr char kExamples[] =
    "  lazyfill pull HuggingFaceTB/SmolLM2-135M-Instruct-GGUF:Q8_0\n"
    "  lazyfill run -m hf:HuggingFaceTB/SmolLM2-135M-Instruct-GGUF:Q8_0 -p \"The three primary colours "
    "are\"\n";

int pull(const std::string& word, bool quiet) {
  const auto name = parse_hub_name(word);
  if (!name) return wrong_usage(kCommand, name.error().message);
  const auto path = pull_model(*name, Terminal(quiet));
  if (!path) return report_failure(kCommand, path.error());
  std::printf("%s\n", printable(*path).c_str());
  return kExitDone;
}

}  // namespace

int pull_command(const std::vector<std::string>& args) {
  std::string word;
  bool quiet = false;
  Flags flags(kCommand, kSummary, kExamples);
  flags.take_word(word, "OWNER/REPO[:QUANT]");
  flags.add_switch("--quiet", quiet, "Only results, warnings and errors");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  if (word.empty()) return wrong_usage(kCommand, "no model is named: give OWNER/REPO or OWNER/REPO:QUANT");
  return guarded(kCommand, [&] { return pull(word, quiet); });
}

}  // namespace lazyfill::cli
