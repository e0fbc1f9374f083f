#include "cli/inspect_details.h"

#include <algorithm>
#include <array>

#include "cli/options.h"
#include "cli/text.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill::cli {
namespace {

struct Format {
  std::string_view name;
  std::string_view mark;
  std::string_view second_mark = {};  // both must be there
};

// Those whose marks others have too come later.
constexpr std::array kFormats = {
    Format{"Harmony (gpt-oss)", "<|channel|>", "<|start|>"},
    Format{"Llama 3", "<|start_header_id|>"},
    Format{"Llama 4", "<|header_start|>"},
    Format{"DeepSeek", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>"},
    Format{"Command R", "<|START_OF_TURN_TOKEN|>"},
    Format{"Granite", "<|start_of_role|>"},
    Format{"Gemma", "<start_of_turn>"},
    Format{"Phi-4", "<|im_sep|>"},
    Format{"ChatML", "<|im_start|>"},
    Format{"Llama 2", "<<SYS>>", "[INST]"},
    Format{"Mistral", "[INST]"},
    Format{"Phi-3", "<|end|>", "<|user|>"},
    Format{"Zephyr", "<|user|>"},
    Format{"Falcon 3", "<|assistant|>"},
    Format{"Vicuna", "USER:", "ASSISTANT:"},
    Format{"Alpaca", "### Instruction"},
};

Json special_tokens(const gguf::File& file, const Tokenizer& tokenizer) {
  constexpr std::array kNames = {"bos",     "eos",  "eot", "eom",     "unknown", "separator",
                                 "padding", "mask", "cls", "fim_pre", "fim_suf", "fim_mid"};
  Json tokens = Json::object();
  for (const char* name : kNames) {
    const auto id = file.get_uint(std::string("tokenizer.ggml.") + name + "_token_id");
    if (!id || *id >= static_cast<uint64_t>(tokenizer.n_tokens())) continue;
    tokens[name] = {{"id", *id}, {"piece", valid_utf8(tokenizer.piece(static_cast<int32_t>(*id), true))}};
  }
  return tokens;
}

std::string first_line(std::string_view text) {
  constexpr size_t kLongest = 160;
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text = text.substr(begin, text.find('\n', begin) - begin);
  return valid_utf8(text.substr(0, kLongest)) + (text.size() > kLongest ? "..." : "");
}

bool mentions(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos;
}

// Of `context_tokens` columns a layer, those that a new row sees, summed over the layers.
double seen_columns(const ModelConfig& config, size_t context_tokens) {
  double seen = 0;
  for (const LayerConfig& layer : config.layers) {
    seen += static_cast<double>(layer.window == 0 ? context_tokens : std::min(layer.window, context_tokens));
  }
  return seen;
}

}  // namespace

Json tokenizer_json(const gguf::File& file) {
  auto tokenizer = Tokenizer::from_gguf(file);
  if (!tokenizer) return {{"can_run", false}, {"reason", tokenizer.error().message}};
  return {{"can_run", true},
          {"kind", std::string((*tokenizer)->kind())},
          {"model", file.get_string("tokenizer.ggml.model").value_or("")},
          {"pre", file.get_string("tokenizer.ggml.pre").value_or("")},
          {"n_tokens", (*tokenizer)->n_tokens()},
          {"bos_id", (*tokenizer)->bos_id()},
          {"eos_id", (*tokenizer)->eos_id()},
          {"special_tokens", special_tokens(file, **tokenizer)},
          {"warnings", (*tokenizer)->warnings()}};
}

Json chat_template_json(const gguf::File& file) {
  const auto source = file.get_string("tokenizer.chat_template");
  if (!source) return {{"present", false}};
  const auto parsed = ChatTemplate::parse(*source);
  Json value = {
      {"present", true},
      {"can_run", parsed.has_value()},
      {"format", std::string(recognise_format(*source))},
      {"tools", mentions(*source, "tools") || file.find("tokenizer.chat_template.tool_use") != nullptr},
      {"thinking", mentions(*source, "think")},
      {"n_bytes", source->size()},
      {"first_line", first_line(*source)}};
  if (!parsed) value["reason"] = parsed.error().message;
  return value;
}

Json kernels_json() {
  const auto kernels = kernels_for(wanted_isa());
  if (!kernels) return {{"can_run", false}, {"reason", kernels.error().message}};
  Json lacking = Json::array();
  for (const InstructionSet& set : instruction_sets()) {
    if (const std::string obstacle = set.obstacle(); !obstacle.empty())
      lacking.push_back({{"isa", std::string(set.name)}, {"reason", obstacle}});
  }
  return {{"can_run", true}, {"isa", std::string((*kernels)->name)}, {"lacking", std::move(lacking)}};
}

Result<Json> memory_json(const gguf::File& file, size_t context_tokens) {
  const auto config = read_config(file);
  const auto kernels = kernels_for(wanted_isa());
  if (!config || !kernels) return Json(nullptr);
  if (context_tokens > config->context_length) {
    return fail(ErrorCode::kInvalidArgument, "a context of " + grouped(context_tokens) +
                                                 " tokens is more than this model's " +
                                                 grouped(config->context_length));
  }
  uint64_t weights_bytes = 0;
  for (const gguf::TensorInfo& tensor : file.tensors()) weights_bytes += tensor.n_bytes;
  // A config's sizes are checked, but their product is not.
  const uint64_t element_bytes = (*kernels)->column_type == ColumnType::kF32 ? 4 : 2;
  const double column_bytes =
      2.0 * static_cast<double>(config->kv_dim()) * static_cast<double>(element_bytes);
  const double kv_bytes = static_cast<double>(config->n_layers) * column_bytes;
  const double state_bytes = static_cast<double>(config->d_model) * sizeof(float);
  std::vector<size_t> contexts = {context_tokens};
  if (context_tokens == 0) contexts = {2048, 8192, 32768, config->context_length};
  Json lengths = Json::array();
  for (size_t i = 0; i < contexts.size(); ++i) {
    if (contexts[i] > config->context_length || (i > 0 && contexts[i] <= contexts[i - 1])) continue;
    const auto n = static_cast<double>(contexts[i]);
    lengths.push_back(
        {{"context_tokens", contexts[i]},
         {"kv_bytes", static_cast<uint64_t>(n * kv_bytes)},
         {"seen_bytes", static_cast<uint64_t>(seen_columns(*config, contexts[i]) * column_bytes)},
         {"states_bytes", static_cast<uint64_t>(n * state_bytes)},
         {"total_bytes", static_cast<uint64_t>(n * (kv_bytes + state_bytes)) + weights_bytes}});
  }
  return Json{{"weights_bytes", weights_bytes},
              {"kv_bytes_per_token", static_cast<uint64_t>(kv_bytes)},
              {"at", std::move(lengths)}};
}

std::string_view recognise_format(std::string_view chat_template) {
  for (const Format& format : kFormats) {
    if (mentions(chat_template, format.mark) &&
        (format.second_mark.empty() || mentions(chat_template, format.second_mark)))
      return format.name;
  }
  return {};
}

std::string ranges_text(const std::vector<size_t>& ascending) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < ascending.size();) {
    size_t end = i;
    while (end + 1 < ascending.size() && ascending[end + 1] == ascending[end] + 1) ++end;
    std::string part = std::to_string(ascending[i]);
    if (end > i) part += (end == i + 1 ? ", " : "-") + std::to_string(ascending[end]);
    parts.push_back(std::move(part));
    i = end + 1;
  }
  return join(parts, ", ");
}

}  // namespace lazyfill::cli
