// Models that are split into several files, "NAME-00001-of-00003.gguf" and so on: each part is a GGUF file
// with its own tensors, the first has the metadata. Internal to gguf/; consumers use File.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "gguf/metadata.h"

namespace lazyfill::gguf {

// One file as it stands.
struct Part {
  InputFile input;
  uint32_t version = 0;
  Metadata metadata;
  std::vector<TensorInfo> tensors;
};

using ReadPart = Result<Part> (*)(const std::string& path);

// What a split file's name says: NAME-<number>-of-<count>.gguf, five digits each, counted from 1.
struct SplitName {
  std::string prefix;  // all before the first of the two hyphens
  uint64_t number = 0;
  uint64_t count = 0;

  std::string path_of(uint64_t other_number) const;
};
std::optional<SplitName> parse_split_name(const std::string& path);

// All parts of the model that `part`, read from `path`, belongs to, in their order and each TensorInfo with
// its part; just `part` where it is no part of a split. The others are looked for beside it, under names made
// of its own, never of anything inside a file. Errors: a name that does not fit, a missing part, parts that
// are mixed up or of different models, a number of tensors that differs from what the parts say.
Result<std::vector<Part>> all_parts(const std::string& path, Part part, ReadPart read_part);

}  // namespace lazyfill::gguf
