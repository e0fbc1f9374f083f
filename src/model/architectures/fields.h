// Numbers of a file's metadata, range-checked.
#pragma once

#include <string>

#include "gguf/file.h"

namespace lazyfill::architectures {

// From 1 to max.
Result<size_t> read_size(const gguf::File& file, const std::string& key, uint64_t max);

// The fallback where the key is absent; an error where it is there and wrong.
Result<size_t> read_size_or(const gguf::File& file, const std::string& key, uint64_t max, size_t fallback);
Result<double> read_float_or(const gguf::File& file, const std::string& key, double fallback);

}  // namespace lazyfill::architectures
