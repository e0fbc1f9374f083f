#include "cli/hub_name.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>

#include "cli/text.h"
#include "gguf/split.h"

namespace lazyfill::cli {
namespace {

constexpr std::string_view kPrefix = "hf:";
constexpr size_t kMostNameBytes = 96;  // the hub's own limit for OWNER and for REPO
constexpr size_t kMostPathBytes = 512;
constexpr size_t kMostPathParts = 8;
constexpr size_t kMostListed = 12;
// What is taken where nothing is said: small and still good first.
constexpr std::string_view kPreferred[] = {"Q4_K_M", "Q4_K_S", "Q4_1",   "Q4_0", "Q5_K_M",
                                           "Q6_K",   "Q8_0",   "IQ4_NL", "BF16", "F16"};

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

bool is_name(std::string_view name) {
  const auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kMostNameBytes && name.front() != '.' && name.front() != '-' &&
         name.find("..") == std::string_view::npos && std::all_of(name.begin(), name.end(), is_plain);
}

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

bool is_gguf(std::string_view path) {
  const std::string name = lower(path);
  return name.size() > 5 && name.ends_with(".gguf");
}

// Files that lie beside a model and are none: projectors for pictures, statistics of the quantisation.
bool is_beside_a_model(std::string_view path) {
  const std::string name = lower(file_name(path));
  return name.find("mmproj") != std::string::npos || name.find("imatrix") != std::string::npos;
}

// A model: one file, or the parts of one.
struct Candidate {
  std::vector<HubFile> files;
  std::string path() const { return files.front().path; }
};

// Splits of which a part is missing are left out.
std::vector<Candidate> candidates_in(const std::vector<HubFile>& files) {
  std::vector<Candidate> candidates;
  std::map<std::string, const HubFile*> by_path;
  for (const HubFile& file : files) {
    if (is_gguf(file.path) && !is_beside_a_model(file.path) && is_safe_path(file.path))
      by_path[file.path] = &file;
  }
  for (const auto& [path, file] : by_path) {
    const auto split = gguf::parse_split_name(path);
    if (!split) {
      candidates.push_back({{*file}});
      continue;
    }
    if (split->number != 1 || split->count > by_path.size()) continue;
    Candidate candidate;
    for (uint64_t number = 1; number <= split->count; ++number) {
      const auto part = by_path.find(split->path_of(number));
      if (part != by_path.end()) candidate.files.push_back(*part->second);
    }
    if (candidate.files.size() == split->count) candidates.push_back(std::move(candidate));
  }
  return candidates;
}

std::string listed(const std::vector<Candidate>& candidates) {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates) {
    if (names.size() == kMostListed) {
      names.push_back("and " + grouped(candidates.size() - kMostListed) + " more");
      break;
    }
    names.push_back(printable(candidate.path()));
  }
  return join(names, ", ");
}

std::vector<Candidate> with_quant(const std::vector<Candidate>& all, std::string_view quant) {
  std::vector<Candidate> found;
  for (const Candidate& candidate : all) {
    if (lower(candidate.path()) == lower(quant)) return {candidate};
    if (has_quant(candidate.path(), quant)) found.push_back(candidate);
  }
  return found;
}

}  // namespace

bool is_hub_name(std::string_view given) {
  return given.starts_with(kPrefix);
}

Result<HubName> parse_hub_name(std::string_view given) {
  std::string_view rest = given;
  if (is_hub_name(rest)) rest.remove_prefix(kPrefix.size());
  const size_t colon = rest.find(':');
  const std::string_view repository = rest.substr(0, colon);
  const std::string_view quant = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  const size_t slash = repository.find('/');
  HubName name;
  name.owner = repository.substr(0, slash);
  if (slash != std::string_view::npos) name.repo = repository.substr(slash + 1);
  name.quant = quant;
  if (!is_name(name.owner) || !is_name(name.repo))
    return fail(ErrorCode::kInvalidArgument,
                quote(given) + " is no name of a model: it must be OWNER/REPO or OWNER/REPO:QUANT, such as " +
                    "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF:Q8_0");
  if (colon != std::string_view::npos && !is_safe_path(quant))
    return fail(
        ErrorCode::kInvalidArgument,
        quote(given) + ": after the second colon comes a quantisation, such as Q4_K_M, or a file's name");
  return name;
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMostPathBytes || find_invalid_utf8(path) != std::string_view::npos)
    return false;
  const auto is_bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '\\'; };
  if (std::any_of(path.begin(), path.end(), is_bad)) return false;
  const std::vector<std::string> parts = split(path, '/');
  return parts.size() <= kMostPathParts &&
         std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part.size() <= 200 && part.front() != '.';
         });
}

bool has_quant(std::string_view path, std::string_view quant) {
  if (quant.empty()) return false;
  const std::string name = lower(path);
  const std::string wanted = lower(quant);
  const auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (size_t at = name.find(wanted); at != std::string::npos; at = name.find(wanted, at + 1)) {
    const size_t end = at + wanted.size();
    if ((at == 0 || !is_part(name[at - 1])) && (end == name.size() || !is_part(name[end]))) return true;
  }
  return false;
}

Result<std::vector<HubFile>> choose_files(const HubName& name, const std::vector<HubFile>& files) {
  const std::vector<Candidate> all = candidates_in(files);
  if (all.empty())
    return fail(ErrorCode::kNotFound, name.repository() +
                                          " holds no whole model in GGUF format: repositories with " +
                                          "one mostly end in -GGUF");
  std::vector<Candidate> found = all;
  if (!name.quant.empty()) {
    found = with_quant(all, name.quant);
    if (found.empty())
      return fail(ErrorCode::kNotFound,
                  name.repository() + " has nothing for " + quote(name.quant) + "; it has " + listed(all));
  } else {
    for (const std::string_view quant : kPreferred) {
      const std::vector<Candidate> preferred = found.size() == 1 ? found : with_quant(all, quant);
      if (preferred.empty()) continue;
      found = preferred;
      break;
    }
  }
  if (found.size() > 1)
    return fail(
        ErrorCode::kInvalidArgument,
        name.text() + " may be several files: put one of them in place of QUANT (" + listed(found) + ")");
  return found.front().files;
}

}  // namespace lazyfill::cli
