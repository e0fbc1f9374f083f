#include "gguf/split.h"

#include <algorithm>

namespace lazyfill::gguf {
namespace {

// Every part stays open. The largest models there are have some thirty.
constexpr uint64_t kMaxParts = 512;

// The keys as llama.cpp writes them: the number counts from 0 and the tensors are those of all parts.
constexpr std::string_view kNumberKey = "split.no";
constexpr std::string_view kCountKey = "split.count";
constexpr std::string_view kTensorsKey = "split.tensors.count";

struct SplitInfo {
  uint64_t number = 0;
  uint64_t count = 0;
  uint64_t n_tensors = 0;
};

tl::unexpected<Error> error_in(const std::string& path, const std::string& message,
                               ErrorCode code = ErrorCode::kInvalidFile) {
  return fail(code, path + ": " + message);
}

std::string part_text(uint64_t number, uint64_t count) {
  return "part " + std::to_string(number) + " of " + std::to_string(count);
}

Result<uint64_t> read_number(const std::string& path, const Metadata& metadata, std::string_view key) {
  const auto found = metadata.find(key);
  if (found != metadata.end()) {
    if (const auto* number = std::get_if<uint64_t>(&found->second)) return *number;
    const auto* number = std::get_if<int64_t>(&found->second);
    if (number != nullptr && *number >= 0) return static_cast<uint64_t>(*number);
  }
  return error_in(path, "the file is a part of a split model, but its " + std::string(key) +
                            " is missing or no natural number; split the model again");
}

// Empty where the file is whole.
Result<std::optional<SplitInfo>> read_split(const std::string& path, const Metadata& metadata) {
  if (metadata.find(kCountKey) == metadata.end()) return std::nullopt;
  const auto count = read_number(path, metadata, kCountKey);
  if (!count) return tl::unexpected(count.error());
  if (*count <= 1) return std::nullopt;
  if (*count > kMaxParts) {
    return error_in(path, "split.count is " + std::to_string(*count) + "; at most " +
                              std::to_string(kMaxParts) + " parts are read");
  }
  const auto number = read_number(path, metadata, kNumberKey);
  if (!number) return tl::unexpected(number.error());
  const auto n_tensors = read_number(path, metadata, kTensorsKey);
  if (!n_tensors) return tl::unexpected(n_tensors.error());
  if (*number >= *count) {
    return error_in(path, "split.no is " + std::to_string(*number) + " of a model in " +
                              std::to_string(*count) + " parts, which are counted from 0");
  }
  return SplitInfo{*number, *count, *n_tensors};
}

// Whether the part's name and what is in it fit the place that it has.
Result<void> check_part(const std::string& path, const std::optional<SplitInfo>& split, const SplitName& name,
                        uint64_t number) {
  if (!split)
    return error_in(path, "the file is whole, not " + part_text(number, name.count) + " as its name says");
  if (split->count != name.count) {
    return error_in(path, "its name says " + std::to_string(name.count) + " parts but its metadata " +
                              std::to_string(split->count) + "; bring back the parts of one model");
  }
  if (split->number + 1 != number) {
    return error_in(path, "its name says " + part_text(number, name.count) + " but it holds part " +
                              std::to_string(split->number + 1) + "; the names of the parts are mixed up");
  }
  return {};
}

// The parts after the first repeat little of the metadata; what they repeat must be the same.
bool same_model(const Metadata& first, const Metadata& other) {
  return std::all_of(other.begin(), other.end(), [&](const auto& entry) {
    const auto& [key, value] = entry;
    if (!key.starts_with("general.") || key == kAlignmentKey) return true;
    const auto found = first.find(key);
    return found == first.end() || found->second == value;
  });
}

}  // namespace

std::string SplitName::path_of(uint64_t other_number) const {
  const auto digits = [](uint64_t value) {
    const std::string text = std::to_string(value);
    return std::string(5 - std::min<size_t>(5, text.size()), '0') + text;
  };
  return prefix + "-" + digits(other_number) + "-of-" + digits(count) + ".gguf";
}

std::optional<SplitName> parse_split_name(const std::string& path) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";  // 0: a digit
  if (path.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kPattern.size());
  SplitName name{path.substr(0, path.size() - kPattern.size())};
  for (size_t i = 0; i < kPattern.size(); ++i) {
    if (kPattern[i] != '0') {
      if (tail[i] != kPattern[i]) return std::nullopt;
      continue;
    }
    if (tail[i] < '0' || tail[i] > '9') return std::nullopt;
    uint64_t& value = i < 6 ? name.number : name.count;
    value = value * 10 + static_cast<uint64_t>(tail[i] - '0');
  }
  return name;
}

Result<std::vector<Part>> all_parts(const std::string& path, Part part, ReadPart read_part) {
  std::vector<Part> parts;
  const auto split = read_split(path, part.metadata);
  if (!split) return tl::unexpected(split.error());
  if (!*split) {
    parts.push_back(std::move(part));
    return parts;
  }
  const uint64_t count = (*split)->count;
  const auto name = parse_split_name(path);
  if (!name) {
    return error_in(
        path, "this is " + part_text((*split)->number + 1, count) +
                  " of a split model; the others are only found when its name ends in -00001-of-00003.gguf "
                  "(with these numbers): give all parts their names back");
  }
  if (auto fits = check_part(path, *split, *name, name->number); !fits) return tl::unexpected(fits.error());

  uint64_t n_tensors = 0;
  for (uint64_t number = 1; number <= count; ++number) {
    const std::string part_path = name->path_of(number);
    if (number == name->number) {
      parts.push_back(std::move(part));
    } else {
      auto other = read_part(part_path);
      if (!other) {
        return fail(other.error().code,
                    part_text(number, count) + " of the model cannot be used: " + other.error().message);
      }
      parts.push_back(std::move(*other));
    }
    const auto other_split = read_split(part_path, parts.back().metadata);
    if (!other_split) return tl::unexpected(other_split.error());
    if (auto fits = check_part(part_path, *other_split, *name, number); !fits)
      return tl::unexpected(fits.error());
    if ((*other_split)->n_tensors != (*split)->n_tensors ||
        !same_model(parts.front().metadata, parts.back().metadata)) {
      return error_in(part_path, "this part belongs to another model than " + path);
    }
    for (TensorInfo& tensor : parts.back().tensors) tensor.part = number - 1;
    n_tensors += parts.back().tensors.size();  // each of them took bytes of a file: cannot wrap
  }
  if (n_tensors != (*split)->n_tensors) {
    return error_in(
        path, "the parts hold " + std::to_string(n_tensors) + " tensors, where they say that the model has " +
                  std::to_string((*split)->n_tensors) + "; a part is damaged or of another model");
  }
  return parts;
}

}  // namespace lazyfill::gguf
