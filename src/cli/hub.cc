#include "cli/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
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

bool is_on(const std::string& value) {
  std::string upper = value;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

// Where `hf auth login` leaves a token; empty: there is no home folder.
std::string token_file() {
  if (const std::string path = environment("HF_TOKEN_PATH"); !path.empty()) return path;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/token";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return cache + "/huggingface/token";
  const std::string home = environment("HOME");
  return home.empty() ? "" : home + "/.cache/huggingface/token";
}

// The first line without blanks around it; empty: there is none.
std::string first_line(const std::string& path) {
  constexpr std::streamsize kMost = 4096;
  std::ifstream file(path);
  std::string line(kMost, '\0');
  file.read(line.data(), kMost);
  line.resize(static_cast<size_t>(file.gcount()));
  const size_t begin = line.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  line = line.substr(begin, line.find_first_of("\r\n", begin) - begin);
  return line.substr(0, line.find_last_not_of(" \t") + 1);
}

Result<void> find_token(HubSettings& settings) {
  settings.token = environment("HF_TOKEN");
  settings.token_from = "HF_TOKEN";
  if (settings.token.empty() && !is_on(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    settings.token_from = token_file();
    if (!settings.token_from.empty()) settings.token = first_line(settings.token_from);
  }
  if (is_graphic(settings.token)) return {};
  return fail(
      ErrorCode::kInvalidArgument,
      printable(settings.token_from) + " has blanks or other characters that no token has: set it again");
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
  if (auto found = find_token(settings); !found) return tl::unexpected(found.error());
  settings.is_offline = is_on(environment("HF_HUB_OFFLINE"));
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
