// Names of models on a hub: hf:OWNER/REPO[:QUANT], and which of a repository's files is meant. No network
// here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

struct HubName {
  std::string owner;
  std::string repo;
  std::string quant;  // such as Q4_K_M, or a file's path in the repository; empty: not said

  std::string repository() const { return owner + "/" + repo; }
  std::string text() const { return repository() + (quant.empty() ? "" : ":" + quant); }
};

bool is_hub_name(std::string_view given);  // begins with hf:
// With or without hf: in front. Names become folders and parts of addresses, so only plain ones are taken.
Result<HubName> parse_hub_name(std::string_view given);

// A file of a repository, as the hub or the cache lists it.
struct HubFile {
  std::string path;    // in the repository, with '/'
  uint64_t size = 0;   // bytes
  std::string sha256;  // 64 hexadecimal digits in lower case; empty: the hub gives none
};

// Whether a path from the network may become one below a folder of ours: no step up, nothing hidden, no
// control characters.
bool is_safe_path(std::string_view path);

// The file that is meant, all its parts in their order where it is split. Errors: none, or several and
// nothing says which; the sentence lists what there is.
Result<std::vector<HubFile>> choose_files(const HubName& name, const std::vector<HubFile>& files);

// Exposed for tests: whether a file's name holds the quantisation as a word of its own, in any case of
// letters.
bool has_quant(std::string_view path, std::string_view quant);

}  // namespace lazyfill::cli
