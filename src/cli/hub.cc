#include "cli/hub.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "cli/options.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_graphic(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

}  // namespace

Result<HubSettings> hub_settings() {
  HubSettings settings;
  settings.endpoint = environment("HF_ENDPOINT");
  if (settings.endpoint.empty()) settings.endpoint = "https://huggingface.co";
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  const bool is_web = settings.endpoint.starts_with("https://") || settings.endpoint.starts_with("http://");
  if (!is_web || !is_graphic(settings.endpoint))
    return fail(ErrorCode::kInvalidArgument,
                "HF_ENDPOINT is " + quote(settings.endpoint) +
                    ", but must be an address that begins with https:// or http://");
  settings.token = environment("HF_TOKEN");
  if (!is_graphic(settings.token))
    return fail(ErrorCode::kInvalidArgument,
                "HF_TOKEN has blanks or other characters that no token has: set it again");
  const std::string offline = environment("HF_HUB_OFFLINE");
  settings.is_offline = !offline.empty() && offline != "0";
  return settings;
}

std::string hub_folder(const HubName& name) {
  return models_folder() + "/" + name.repository();
}

std::vector<HubFile> cached_files(const std::string& folder) {
  constexpr int kMostLevels = 10;
  std::vector<HubFile> files;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (at.depth() > kMostLevels) at.disable_recursion_pending();
    std::error_code unreadable;
    const std::string path = at->path().lexically_relative(folder).generic_string();
    if (!path.ends_with(".gguf") || !at->is_regular_file(unreadable)) continue;
    files.push_back({.path = path, .size = at->file_size(unreadable)});
  }
  std::sort(files.begin(), files.end(), [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  return files;
}

std::optional<std::string> cached_model(const HubName& name) {
  const std::string folder = hub_folder(name);
  const auto chosen = choose_files(name, cached_files(folder));
  if (!chosen) return std::nullopt;
  return folder + "/" + chosen->front().path;
}

}  // namespace lazyfill::cli
