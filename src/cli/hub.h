// Models by name: fetched from a hub into the user's cache, and found there without the network.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/hub_name.h"
#include "cli/terminal.h"
#include "lazyfill/error.h"

namespace lazyfill::cli {

struct HubSettings {
  std::string endpoint;     // HF_ENDPOINT, else the public hub; without a slash at the end
  std::string token;        // HF_TOKEN, else of the file that the hub's own tools keep it in
  std::string token_from;   // for people: HF_TOKEN, or that file
  bool is_offline = false;  // HF_HUB_OFFLINE
};
// Of the environment, read as the hub's own library reads it. Errors: an endpoint that is no address, a token
// with characters that none has.
Result<HubSettings> hub_settings();

// A repository's folder in the cache; models that others put beside it are found too.
std::string hub_folder(const HubName& name);
// The first file of the model that a name means among those in the cache; nothing when none is whole there.
std::optional<std::string> cached_model(const HubName& name);
// All files of models below the cache's folder, their paths relative to it, with sizes.
std::vector<HubFile> cached_files(const std::string& folder);

// Fetches what is missing, and checks it. Gives the path of the first file.
Result<std::string> pull_model(const HubName& name, const Terminal& terminal);

}  // namespace lazyfill::cli
