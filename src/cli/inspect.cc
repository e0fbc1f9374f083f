// lazyfill inspect: what is in a GGUF file, whether or not this build can run it.
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/command.h"
#include "cli/inspect_details.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/text.h"
#include "gguf/file.h"
#include "model/config.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "inspect";
constexpr char kSummary[] = "Shows what is in a GGUF file; works also for models that this build cannot run.";
constexpr char kExamples[] =
    "  lazyfill inspect model.gguf\n"
    "  lazyfill inspect model.gguf --ctx 8192             # what memory that takes\n"
    "  lazyfill inspect model.gguf --tensors\n"
    "  lazyfill inspect model.gguf --metadata\n"
    "  lazyfill inspect model.gguf --json\n";

struct InspectFlags {
  std::string model;
  std::string json;
  bool tensors = false;
  bool metadata = false;
  bool chat_template = false;
  size_t context_tokens = 0;
};

std::string type_name(gguf::TensorType type) {
  const auto traits = gguf::traits_of(type);
  return traits ? std::string(traits->name) : "type " + std::to_string(static_cast<uint32_t>(type));
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::vector<std::string> sizes;
  for (const uint64_t size : shape) sizes.push_back(std::to_string(size));
  return join(sizes, " x ");
}

// Arrays can hold hundreds of thousands of entries: their beginning tells what they are.
constexpr size_t kMostEntries = 8;

Json value_json(const gguf::Value& value) {
  return std::visit(
      [](const auto& held) -> Json {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, gguf::Array>) {
          return std::visit(
              [](const auto& entries) -> Json {
                Json first = Json::array();
                for (size_t i = 0; i < std::min(entries.size(), kMostEntries); ++i) {
                  first.push_back(typename std::decay_t<decltype(entries)>::value_type(entries[i]));
                }
                return {{"n", entries.size()}, {"first", std::move(first)}};
              },
              held);
        } else {
          return held;
        }
      },
      value);
}

std::string value_text(const gguf::Value& value) {
  constexpr size_t kLongest = 100;
  const auto* array = std::get_if<gguf::Array>(&value);
  const auto* string = std::get_if<std::string>(&value);
  const Json json = value_json(value);
  std::string text =
      string != nullptr
          ? printable(*string)
          : (array != nullptr ? json["first"] : json).dump(-1, ' ', false, Json::error_handler_t::replace);
  text = printable(text);
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > kLongest) text = valid_utf8(text.substr(0, kLongest)) + " ...";
  if (array != nullptr) text = grouped(json["n"].get<uint64_t>()) + " entries: " + text;
  return text;
}

struct TypeShare {
  size_t n_tensors = 0;
  uint64_t n_bytes = 0;
  uint64_t n_elements = 0;
};

std::vector<std::pair<std::string, TypeShare>> type_shares(const gguf::File& file) {
  std::map<std::string, TypeShare> by_type;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    TypeShare& share = by_type[type_name(tensor.type)];
    ++share.n_tensors;
    share.n_bytes +=
        tensor.n_bytes;  // tensors lie in the file, so their sum is bounded by it or overlaps harmlessly
    share.n_elements += tensor.n_elements;
  }
  std::vector<std::pair<std::string, TypeShare>> shares(by_type.begin(), by_type.end());
  std::sort(shares.begin(), shares.end(),
            [](const auto& a, const auto& b) { return a.second.n_bytes > b.second.n_bytes; });
  return shares;
}

double total_bytes(const std::vector<std::pair<std::string, TypeShare>>& shares) {
  return std::accumulate(shares.begin(), shares.end(), 0.0, [](double sum, const auto& entry) {
    return sum + static_cast<double>(entry.second.n_bytes);
  });
}

// What this build makes of the file: sizes where the architecture is known, else the reason why it cannot
// run.
Json model_json(const gguf::File& file) {
  auto config = read_config(file);
  if (!config) return {{"can_run", false}, {"reason", config.error().message}};
  return {{"can_run", true},
          {"n_layers", config->n_layers},
          {"d_model", config->d_model},
          {"n_heads", config->n_heads},
          {"n_kv_heads", config->n_kv_heads},
          {"head_dim", config->head_dim},
          {"d_ff", config->d_ff},
          {"n_vocab", config->n_vocab},
          {"context_length", config->context_length},
          {"prunable_layers", config->prunable_layers()}};
}

Json tensors_json(const gguf::File& file) {
  Json list = Json::array();
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    list.push_back({{"name", tensor.name},
                    {"type", type_name(tensor.type)},
                    {"shape", tensor.shape},
                    {"n_bytes", tensor.n_bytes}});
  }
  return list;
}

Json describe(const gguf::File& file, const InspectFlags& flags, Json memory) {
  uint64_t n_parameters = 0;
  Json types = Json::array();
  const auto shares = type_shares(file);
  const double n_all_bytes = total_bytes(shares);
  for (const auto& [name, share] : shares) {
    n_parameters += share.n_elements;
    const double part = n_all_bytes > 0 ? static_cast<double>(share.n_bytes) / n_all_bytes : 0;
    types.push_back(
        {{"type", name}, {"n_tensors", share.n_tensors}, {"n_bytes", share.n_bytes}, {"share", part}});
  }
  Json value = {{"gguf_version", file.version()},
                {"file_bytes", file.size_bytes()},
                {"n_files", file.n_parts()},
                {"architecture", file.get_string("general.architecture").value_or("")},
                {"name", file.get_string("general.name").value_or("")},
                {"license", file.get_string("general.license").value_or("")},
                {"n_parameters", n_parameters},
                {"n_tensors", file.tensors().size()},
                {"tensor_types", std::move(types)},
                {"has_chat_template", file.find("tokenizer.chat_template") != nullptr},
                {"chat_template", chat_template_json(file)},
                {"model", model_json(file)},
                {"tokenizer", tokenizer_json(file)},
                {"kernels", kernels_json()},
                {"memory", std::move(memory)}};
  if (flags.tensors) value["tensors"] = tensors_json(file);
  if (flags.metadata) {
    Json metadata = Json::object();
    for (const auto& [key, entry] : file.metadata()) metadata[key] = value_json(entry);
    value["metadata"] = std::move(metadata);
  }
  return value;
}

void print_field(const char* name, const std::string& value) {
  if (value.empty()) return;
  // One line each: a name with line breaks must not look like several fields.
  std::string line = printable(value);
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::printf("%-18s%s\n", name, line.c_str());
}

std::string or_unknown(const gguf::File& file, const std::string& key) {
  const auto value = file.get_uint(key);
  return value ? grouped(*value) : "unknown";
}

// The file's own figures: also there where read_config has to give up.
void print_sizes(const gguf::File& file, const std::string& architecture) {
  print_field("layers", or_unknown(file, architecture + ".block_count"));
  print_field("d_model", or_unknown(file, architecture + ".embedding_length"));
  print_field("heads", or_unknown(file, architecture + ".attention.head_count") + " query, " +
                           or_unknown(file, architecture + ".attention.head_count_kv") + " key/value");
  print_field("feed-forward", or_unknown(file, architecture + ".feed_forward_length"));
  print_field("context", or_unknown(file, architecture + ".context_length") + " tokens");
}

void print_tokenizer(const Json& tokenizer) {
  const auto text = [&](const char* key) { return tokenizer[key].get<std::string>(); };
  std::string line = text("kind") + ", " + grouped(tokenizer["n_tokens"].get<uint64_t>()) + " tokens";
  if (text("model") == "gpt2" && text("kind").find(text("pre")) == std::string::npos)
    line += ", split as " + text("pre");
  print_field("tokeniser", line);
  std::vector<std::string> tokens;
  for (const auto& [name, token] : tokenizer["special_tokens"].items())
    tokens.push_back(name + " " + quote(token["piece"].get<std::string>()) + " " +
                     std::to_string(token["id"].get<uint64_t>()));
  print_field("special tokens", join(tokens, ", "));
}

std::string chat_template_text(const Json& chat_template) {
  if (!chat_template["present"]) return "none";
  std::string text = chat_template["format"].get<std::string>();
  if (text.empty()) text = "of a form of its own";
  if (chat_template["tools"]) text += ", with tools";
  if (chat_template["thinking"]) text += ", with thoughts";
  text += ", " + grouped(chat_template["n_bytes"].get<uint64_t>()) + " bytes";
  if (!chat_template["can_run"]) text += "; cannot be used: " + chat_template["reason"].get<std::string>();
  return text;
}

std::string kernels_text(const Json& kernels) {
  if (!kernels["can_run"]) return "none: " + kernels["reason"].get<std::string>();
  std::string text = kernels["isa"].get<std::string>();
  for (const Json& set : kernels["lacking"])
    text += "; no " + set["isa"].get<std::string>() + ": " + set["reason"].get<std::string>();
  return text;
}

void print_model(const Json& value, const gguf::File& file) {
  const auto text = [&](const char* key) { return value[key].get<std::string>(); };
  print_field("name", text("name"));
  print_field("architecture", text("architecture"));
  print_field("license", text("license"));
  print_field("file", "GGUF version " + std::to_string(file.version()) + ", " +
                          bytes_text(file.size_bytes()) +
                          (file.n_parts() > 1 ? " in " + std::to_string(file.n_parts()) + " parts" : ""));
  print_field("parameters", fixed(static_cast<double>(value["n_parameters"].get<uint64_t>()) / 1e6, 1) +
                                " M in " + grouped(file.tensors().size()) + " tensors");
  print_sizes(file, text("architecture"));
  const Json& model = value["model"];
  const Json& tokenizer = value["tokenizer"];
  if (tokenizer["can_run"]) {
    print_tokenizer(tokenizer);
    for (const Json& warning : tokenizer["warnings"]) print_field("warning", warning.get<std::string>());
  }
  print_field("chat template", chat_template_text(value["chat_template"]));
  if (value["chat_template"]["present"]) {
    print_field("  begins with", value["chat_template"]["first_line"].get<std::string>());
  }
  if (model["can_run"]) {
    const auto layers = model["prunable_layers"].get<std::vector<size_t>>();
    print_field("prunable layers", layers.empty()
                                       ? "none"
                                       : ranges_text(layers) + " (of 0-" +
                                             std::to_string(model["n_layers"].get<size_t>() - 1) + ")");
  } else {
    print_field("cannot run", model["reason"].get<std::string>());
  }
  print_field("kernels", kernels_text(value["kernels"]));
  if (!tokenizer["can_run"]) print_field("cannot tokenise", tokenizer["reason"].get<std::string>());
}

void print_memory(const Json& memory) {
  if (memory.is_null()) return;
  std::printf("\n%-18s%12s%14s%12s\n", "memory at", "weights", "keys, values", "together");
  for (const Json& entry : memory["at"]) {
    std::printf("%-18s%12s%14s%12s\n", (grouped(entry["context_tokens"].get<uint64_t>()) + " tokens").c_str(),
                bytes_text(memory["weights_bytes"].get<uint64_t>()).c_str(),
                bytes_text(entry["kv_bytes"].get<uint64_t>()).c_str(),
                bytes_text(entry["total_bytes"].get<uint64_t>()).c_str());
  }
}

void print_types(const gguf::File& file) {
  const auto shares = type_shares(file);
  const double total = total_bytes(shares);
  std::printf("\n%-10s%10s%12s%8s\n", "type", "tensors", "size", "share");
  for (const auto& [name, share] : shares) {
    const double percent = total > 0 ? static_cast<double>(share.n_bytes) * 100 / total : 0;
    std::printf("%-10s%10zu%12s%7s%%\n", name.c_str(), share.n_tensors, bytes_text(share.n_bytes).c_str(),
                fixed(percent, 1).c_str());
  }
}

void print_tensors(const gguf::File& file) {
  std::printf("\n%-44s%-8s%-20s%10s\n", "tensor", "type", "shape", "size");
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    std::printf("%s%-8s%-20s%10s\n", padded(printable(tensor.name), -44).c_str(),
                type_name(tensor.type).c_str(), shape_text(tensor.shape).c_str(),
                bytes_text(tensor.n_bytes).c_str());
  }
}

int inspect(const InspectFlags& flags) {
  std::optional<OutputFile> output;
  if (!flags.json.empty()) {
    InputFiles inputs = {"-"};
    inputs.add_model(flags.model);
    auto opened = OutputFile::open(flags.json, inputs);
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  auto path = resolve_model_path(flags.model);
  if (!path) return report_failure(kCommand, path.error());
  auto file = gguf::File::open(*path);
  if (!file) return report_failure(kCommand, file.error());
  auto memory = memory_json(*file, flags.context_tokens);
  if (!memory) return wrong_usage(kCommand, memory.error().message);
  if (flags.chat_template) {
    const auto source = file->get_string("tokenizer.chat_template");
    if (!source) return report_failure(kCommand, source.error());
    std::printf("%s\n", (is_terminal(Stream::kOutput) ? printable(*source) : *source).c_str());
    return kExitDone;
  }
  const Json value = describe(*file, flags, std::move(*memory));
  if (output) {
    if (auto written = output->write(json_line(value)); !written)
      return report_failure(kCommand, written.error());
    if (output->is_standard_output()) return kExitDone;
  }
  print_model(value, *file);
  print_types(*file);
  print_memory(value["memory"]);
  if (flags.tensors) print_tensors(*file);
  if (flags.metadata) {
    std::printf("\n");
    for (const auto& [key, entry] : file->metadata()) {
      std::printf("%s %s\n", padded(printable(key), -44).c_str(), value_text(entry).c_str());
    }
  }
  return kExitDone;
}

}  // namespace

int inspect_command(const std::vector<std::string>& args) {
  InspectFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  flags.group("Model");
  flags.add_text("-m,--model", values.model, "MODEL.gguf",
                 "The file to look into; default: the model in the user's cache");
  flags.take_model_word(values.model);
  flags.add_count("-c,--ctx", values.context_tokens, 0, size_t{1} << 24,
                  "Tokens of context to tell the memory for; default 0: some lengths up to the model's");
  flags.group("Output");
  flags.add_json(values.json, "Write one JSON object");
  flags.add_switch("--template", values.chat_template, "Only the chat template, as it stands in the file");
  flags.add_switch("--tensors", values.tensors, "Every tensor with type, shape and size");
  flags.add_switch("--metadata", values.metadata, "Every key with its value, arrays by their beginning");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  return guarded(kCommand, [&] { return inspect(values); });
}

}  // namespace lazyfill::cli
