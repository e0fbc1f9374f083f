// From the bytes of a GGUF file to its metadata and tensor table, every value checked.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "gguf/file.h"

namespace lazyfill::gguf {

struct Header {
  uint32_t version = 0;
  std::map<std::string, Value, std::less<>> metadata;
  std::vector<TensorInfo> tensors;  // each lies inside the bytes
};

// Memory is bounded by the bytes: no count is believed before that many items could fit.
Result<Header> parse_header(std::span<const std::byte> bytes);

}  // namespace lazyfill::gguf
