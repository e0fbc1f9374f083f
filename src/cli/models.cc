// lazyfill models: what is in the user's cache.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/hub.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/text.h"
#include "engine/presets.h"
#include "gguf/file.h"
#include "gguf/fingerprint.h"
#include "gguf/split.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "models";
constexpr char kSummary[] = "Lists the models in the user's cache, with their sizes and presets.";
constexpr char kExamples[] =
    "  lazyfill models\n"
    "  lazyfill models --json\n";

struct Model {
  std::string name;  // as -m takes it
  std::string path;
  uint64_t n_bytes = 0;
  std::vector<std::string> presets;
  std::string problem;  // why it cannot be used; empty: it can
};

// hf:OWNER/REPO:FILE for what lies in a repository's folder, else the path.
std::string name_of(const std::string& path, const std::string& folder) {
  const size_t owner_end = path.find('/');
  const size_t repo_end = owner_end == std::string::npos ? owner_end : path.find('/', owner_end + 1);
  if (repo_end == std::string::npos) return folder + "/" + path;
  const std::string name = "hf:" + path.substr(0, repo_end) + ":" + path.substr(repo_end + 1);
  return parse_hub_name(name) ? name : folder + "/" + path;
}

void look_into(Model& model) {
  auto file = gguf::File::open(model.path);
  auto fingerprint = file ? gguf::fingerprint(*file) : tl::unexpected(file.error());
  if (!fingerprint) {
    model.problem = fingerprint.error().message;
    return;
  }
  for (const PresetKind kind : kPresetKinds) {
    const auto found = find_preset(*fingerprint, model.path, user_preset_folder(), kind);
    if (found && found->has_value())
      model.presets.push_back((kind == PresetKind::kFast ? "fast (" : "auto (") + (*found)->place + ")");
  }
}

std::vector<Model> find_models() {
  const std::string folder = models_folder();
  std::vector<Model> models;
  for (const HubFile& file : cached_files(folder)) {
    const auto split = gguf::parse_split_name(file.path);
    if (split && split->number > 1 && !models.empty() &&
        models.back().path == folder + "/" + split->path_of(1)) {
      models.back().n_bytes += file.size;
      continue;
    }
    models.push_back({name_of(file.path, folder), folder + "/" + file.path, file.size, {}, {}});
  }
  for (Model& model : models) look_into(model);
  return models;
}

void print_models(const std::vector<Model>& models) {
  if (models.empty())
    std::printf("No models in %s: 'lazyfill pull OWNER/REPO' fetches one.\n", models_folder().c_str());
  for (const Model& model : models) {
    const std::string presets = model.presets.empty() ? "no preset" : "presets: " + join(model.presets, ", ");
    std::printf("%10s  %s\n            %s\n", bytes_text(model.n_bytes).c_str(),
                printable(model.name).c_str(),
                printable(model.problem.empty() ? presets : "cannot be used: " + model.problem).c_str());
  }
}

int list_models(const std::string& json) {
  std::optional<OutputFile> output;
  const std::vector<Model> models = find_models();
  if (!json.empty()) {
    InputFiles inputs;
    for (const Model& model : models) inputs.add_model(model.path);
    auto opened = OutputFile::open(json, inputs);
    if (!opened) return report_failure(kCommand, opened.error());
    output.emplace(std::move(*opened));
  }
  if (!output || !output->is_standard_output()) print_models(models);
  if (!output) return kExitDone;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Model& model : models) {
    list.push_back(
        {{"name", model.name}, {"path", model.path}, {"bytes", model.n_bytes}, {"presets", model.presets}});
    if (!model.problem.empty()) list.back()["error"] = model.problem;
  }
  auto written = output->write(json_line({{"folder", models_folder()}, {"models", std::move(list)}}));
  return written ? kExitDone : report_failure(kCommand, written.error());
}

}  // namespace

int models_command(const std::vector<std::string>& args) {
  std::string json;
  Flags flags(kCommand, kSummary, kExamples);
  flags.group("Output");
  flags.add_json(json, "Write the list as JSON");
  if (auto exit_code = flags.parse(args)) return *exit_code;
  return guarded(kCommand, [&] { return list_models(json); });
}

}  // namespace lazyfill::cli
