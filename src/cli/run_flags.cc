#include "cli/run_flags.h"

#include <algorithm>
#include <utility>

#include "cli/text.h"

namespace lazyfill::cli {
namespace {

constexpr char kSummary[] =
    "Answers one prompt or many: the text on standard output, everything else on standard error.";
constexpr char kExamples[] =
    "  lazyfill run \"The three primary colours are\"\n"
    "  lazyfill run --chat -f report.txt -p \"What did the committee decide?\" -n 200\n"
    "  lazyfill run --chat --messages talk.json --tools tools.json\n"
    "  lazyfill run -m model.gguf -f long.txt -n 32 --temp 0 --lazy 9:0.5,15:0.5,22:0.5 --json out.json\n"
    "  cat long.txt | lazyfill run --lazy off\n"
    "  lazyfill run --jsonl prompts.jsonl --json answers.jsonl     # one object with \"prompt\" a line\n";

const std::vector<std::string> kForms = {"packed", "padded", "sorted"};

}  // namespace

void BatchFlags::add_to(Flags& flags) {
  flags.group("Many prompts at once (docs/scheduling.md)");
  flags.add_count("--batch", n, 0, 4096,
                  "With --jsonl: answer so many lines at a time; default 0: one after another");
  flags.add_choice(
      "--batch-form", form, kForms,
      "How prompts are computed together: packed, without padding, and answers as they come; or "
      "for comparison N at a time, each made as long as the longest of them (padded), also after "
      "sorting all lines by length (sorted); default packed");
  flags.add_count("--queue", queue, 1, 1U << 20, "With --batch: lines that are read ahead; default 64");
  flags.add_count("--turn-ms", turn_ms, 1, 60000,
                  "With --batch: milliseconds that a prompt may take between two tokens of the answers that "
                  "are being written; default 50");
  flags.add_count(
      "--kv-memory", kv_memory_mib, 1, size_t{1} << 24,
      "With --batch: MiB for the keys, values and states of all lines at a time; default: half of "
      "the memory that is free");
  flags.add_switch("--prefix-cache", prefix_cache,
                   "With --batch: a line takes what earlier ones have computed of the same first tokens");
  flags.add_text("--cache-salt", cache_salt, "TEXT",
                 "With --prefix-cache: all lines are of one who asks, so a lazy line also goes on with what "
                 "another one's question chose");
  flags.add_text("--state", state, "DIR",
                 "With --prefix-cache: a folder where what was computed is kept for the next run");
}

bool BatchFlags::pads() const {
  return form != 0;
}

bool BatchFlags::sorts() const {
  return form == 2;
}

SchedulerOptions BatchFlags::options(size_t context_tokens) const {
  SchedulerOptions options;
  options.context_tokens = context_tokens;
  options.max_sequences = n;
  options.max_queue = std::max(queue, n);
  options.turn_ms = static_cast<double>(turn_ms);
  options.kv_memory_bytes = uint64_t{kv_memory_mib} << 20;
  options.pad_prompts = pads();
  options.state_folder = state;
  return options;
}

void RunFlags::add_to(Flags& flags) {
  model.add_to(flags);
  prompt.add_to(flags);
  flags.add_text("--messages", messages, "FILE",
                 "A whole conversation in place of a prompt, as a JSON array of messages (with calls of "
                 "tools and their results, if there are any) or as /save of chat writes it; with --chat");
  chat_template.add_to(flags);
  flags.add_text(
      "--jsonl", jsonl, "FILE",
      "Many prompts: one JSON object a line, with \"prompt\" (and \"continuation\": a text to be "
      "scored in place of an answer), \"messages\", or \"document\" and \"questions\"; \"flags\" are for "
      "this line alone; - for standard input");
  settings.add_to(flags);
  flags.add_json(json, "Write a JSON record of every prompt, a line each; --jsonl does so without it");
  flags.add_switch(
      "--prompt-logprobs", perplexity,
      "Also write the logarithm of each prompt token's probability, for perplexity, in the record");
  infill.add_to(flags);
  batch.add_to(flags);
}

Flags run_flags() {
  return Flags(kRun, kSummary, kExamples);
}

// The settings of a line: the command line's, then its own.
Result<PromptSettings> settings_of(const PromptLine& line, const RunFlags& command,
                                   const std::vector<std::string>& args) {
  PromptSettings settings = command.settings;
  if (!line.flags.empty()) {
    PromptSettings unused;  // a flag that cannot change from line to line is refused
    Flags known(kRun, kSummary, kExamples);
    unused.add_to(known);
    if (auto read = known.read(line.flags); !read)
      return fail(ErrorCode::kInvalidArgument, "its \"flags\": " + read.error().message);
    RunFlags all;
    Flags flags(kRun, kSummary, kExamples);
    all.add_to(flags);
    std::vector<std::string> together = args;
    const auto end_of_flags = std::find(together.begin(), together.end(), "--");
    together.insert(end_of_flags, line.flags.begin(), line.flags.end());
    if (auto read = flags.read(together); !read) return tl::unexpected(read.error());
    settings = all.settings;
  }
  if (!line.messages.empty()) {
    if (!settings.system.empty())
      return fail(ErrorCode::kInvalidArgument,
                  "its \"messages\" are the whole conversation: leave --system out");
    settings.chat = settings.whole_conversation = true;
  }
  if (std::string sentence = settings.contradiction(); !sentence.empty())
    return fail(ErrorCode::kInvalidArgument, std::move(sentence));
  return settings;
}

}  // namespace lazyfill::cli
