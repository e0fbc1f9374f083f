#include "cli/calibration_hint.h"

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "cli/text.h"

namespace lazyfill::cli {
namespace {

// Whether this is the first time: of two programs at once, for one.
bool remember(const std::string& folder, const std::string& fingerprint) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return false;
  std::FILE* file = std::fopen((folder + "/" + fingerprint + ".calibrate").c_str(), "wx");
  return file != nullptr && std::fclose(file) == 0;
}

}  // namespace

std::string calibration_hint(const LazyChoice& choice, const std::string& fingerprint,
                             const std::string& model, const std::string& folder) {
  if (!choice.source.ends_with("default") || choice.short_prompt || !remember(folder, fingerprint)) return "";
  std::string command = "lazyfill calibrate --quick";
  if (!model.empty()) command += " -m " + printable(model);
  return "this model has no preset, so a careful default prunes its prompts; `" + command +
         "` finds a faster one in a minute or two (this is said once)";
}

}  // namespace lazyfill::cli
