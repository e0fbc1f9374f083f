#include "model/architectures/fields.h"

namespace lazyfill::architectures {

Result<size_t> read_size(const gguf::File& file, const std::string& key, uint64_t max) {
  auto value = file.get_uint(key);
  if (!value) return tl::unexpected(value.error());
  if (*value == 0 || *value > max) {
    return fail(ErrorCode::kInvalidFile,
                key + " is " + std::to_string(*value) + "; it must be from 1 to " + std::to_string(max));
  }
  return static_cast<size_t>(*value);
}

Result<size_t> read_size_or(const gguf::File& file, const std::string& key, uint64_t max, size_t fallback) {
  if (file.find(key) == nullptr) return fallback;
  return read_size(file, key, max);
}

Result<double> read_float_or(const gguf::File& file, const std::string& key, double fallback) {
  if (file.find(key) == nullptr) return fallback;
  return file.get_float(key);
}

}  // namespace lazyfill::architectures
