#include "model/architectures/fields.h"

#include <algorithm>

namespace lazyfill::architectures {
namespace {

// A number, or a list that says the same number for every layer.
Result<uint64_t> read_number(const gguf::File& file, const std::string& key) {
  const gguf::Value* value = file.find(key);
  if (value == nullptr || !std::holds_alternative<gguf::Array>(*value)) return file.get_uint(key);
  auto numbers = file.get_ints(key);
  if (!numbers) return tl::unexpected(numbers.error());
  const bool same =
      std::all_of(numbers->begin(), numbers->end(), [&](int64_t n) { return n == (*numbers)[0]; });
  if (numbers->empty() || !same || (*numbers)[0] < 0) {
    return fail(ErrorCode::kUnsupported, key + " is not the same for every layer, which is not supported");
  }
  return static_cast<uint64_t>((*numbers)[0]);
}

}  // namespace

Result<size_t> read_size(const gguf::File& file, const std::string& key, uint64_t max) {
  auto value = read_number(file, key);
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
