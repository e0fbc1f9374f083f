// lazyfill tokenize: ids and pieces. Needs no weights, so it also works for models that this build cannot
// run.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "gguf/file.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "tokenize";
constexpr char kSummary[] = "Shows the token ids of a text and the piece of text that each stands for.";
constexpr char kExamples[] =
    "  lazyfill tokenize -p \"Hello world\"\n"
    "  lazyfill tokenize -f report.txt --count\n"
    "  lazyfill tokenize -p \"<|im_start|>user\" --special --json\n";

struct TokenizeFlags {
  std::string model;
  PromptFlags prompt;
  std::string json;
  bool count = false;
  bool no_bos = false;
  bool special = false;
};

// A piece is a part of a text and may hold half a character: shown as bytes then, so that nothing is lost.
std::string shown_piece(const std::string& piece) {
  std::string shown;
  const bool whole = find_invalid_utf8(piece) == std::string::npos;
  for (const char c : piece) {
    const auto byte = static_cast<uint8_t>(c);
    char buffer[8];
    if (c == '\n') {
      shown += "\\n";
    } else if (c == '\t') {
      shown += "\\t";
    } else if (c == '\\') {
      shown += "\\\\";
    } else if (byte < 0x20 || byte == 0x7F || (!whole && byte >= 0x80)) {
      std::snprintf(buffer, sizeof buffer, "\\x%02x", byte);
      shown += buffer;
    } else {
      shown += c;
    }
  }
  return shown;
}

void print_tokens(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) std::printf("%7d  %s\n", id, shown_piece(tokenizer.piece(id, true)).c_str());
}

std::string tokens_json(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  nlohmann::ordered_json pieces = nlohmann::ordered_json::array();
  for (const int32_t id : ids) {
    const std::string piece = tokenizer.piece(id, true);
    pieces.push_back(find_invalid_utf8(piece) == std::string::npos ? piece : shown_piece(piece));
  }
  return json_line({{"tokenizer", std::string(tokenizer.kind())},
                    {"n_tokens", ids.size()},
                    {"token_ids", ids},
                    {"pieces", std::move(pieces)}});
}

int tokenize(const TokenizeFlags& flags) {
  auto text = read_prompt(flags.prompt, Terminal(true));
  if (!text) return report_failure(kCommand, text.error());
  std::optional<OutputFile> output;
  if (!flags.json.empty()) {
    InputFiles inputs = {"-"};
    inputs.add(flags.prompt.files);
    inputs.add_model(flags.model);
    auto opened = OutputFile::open(flags.json, inputs);
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  auto path = resolve_model_path(flags.model);
  if (!path) return report_failure(kCommand, path.error());
  auto file = gguf::File::open(*path);
  if (!file) return report_failure(kCommand, file.error());
  auto tokenizer = Tokenizer::from_gguf(*file);
  if (!tokenizer) return report_failure(kCommand, tokenizer.error());
  auto ids = (*tokenizer)->encode(*text, {.add_special = !flags.no_bos, .parse_special = flags.special});
  if (!ids) return report_failure(kCommand, ids.error());
  if (output) {
    if (auto written = output->write(tokens_json(**tokenizer, *ids)); !written)
      return report_failure(kCommand, written.error());
    if (output->is_standard_output()) return kExitDone;
  }
  if (flags.count) {
    std::printf("%zu\n", ids->size());
  } else {
    print_tokens(**tokenizer, *ids);
  }
  return kExitDone;
}

}  // namespace

int tokenize_command(const std::vector<std::string>& args) {
  TokenizeFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  flags.group("Model");
  flags.add_text("-m,--model", values.model, "MODEL.gguf",
                 "The model file, or hf:OWNER/REPO[:QUANT]; default: the one in the user's cache");
  flags.take_model_word(values.model);
  values.prompt.add_to(flags);
  flags.group("Output");
  flags.add_json(values.json, "Write one JSON object with token_ids and pieces");
  flags.add_switch("--count", values.count, "Only the number of tokens");
  flags.add_switch("--no-bos", values.no_bos, "No token for the beginning of the text");
  PromptFlags::add_special_to(flags, values.special);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  return guarded(kCommand, [&] { return tokenize(values); });
}

}  // namespace lazyfill::cli
