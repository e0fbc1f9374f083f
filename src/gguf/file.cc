#include "gguf/file.h"

#include <cmath>

#include "gguf/parser.h"

namespace lazyfill::gguf {
namespace {

tl::unexpected<Error> missing(std::string_view key) {
  return fail(ErrorCode::kInvalidFile, "the metadata key " + std::string(key) + " is missing");
}

tl::unexpected<Error> wrong_type(std::string_view key, std::string_view wanted) {
  return fail(ErrorCode::kInvalidFile, "the metadata key " + std::string(key) + " is not " + std::string(wanted));
}

template <class T>
Result<std::vector<T>> get_array(const Value* value, std::string_view key, std::string_view wanted) {
  if (value == nullptr) return missing(key);
  const auto* array = std::get_if<Array>(value);
  const auto* items = array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
  if (items == nullptr) return wrong_type(key, wanted);
  return *items;
}

}  // namespace

Result<File> File::open(const std::string& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping) return tl::unexpected(mapping.error());
  File file(std::move(*mapping));
  auto header = parse_header(file.mapping_.bytes());
  if (!header) return fail(header.error().code, path + ": " + header.error().message);
  file.version_ = header->version;
  file.metadata_ = std::move(header->metadata);
  file.tensors_ = std::move(header->tensors);
  for (size_t i = 0; i < file.tensors_.size(); ++i) file.tensor_index_.emplace(file.tensors_[i].name, i);
  return file;
}

const Value* File::find(std::string_view key) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? nullptr : &it->second;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

Result<uint64_t> File::get_uint(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing(key);
  if (const auto* number = std::get_if<uint64_t>(value)) return *number;
  if (const auto* number = std::get_if<int64_t>(value); number != nullptr && *number >= 0) {
    return static_cast<uint64_t>(*number);
  }
  return wrong_type(key, "a whole number that is not negative");
}

Result<double> File::get_float(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing(key);
  if (const auto* number = std::get_if<double>(value); number != nullptr && std::isfinite(*number)) return *number;
  if (const auto* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  return wrong_type(key, "a finite number");
}

Result<std::string> File::get_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing(key);
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  return wrong_type(key, "a text");
}

Result<bool> File::get_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing(key);
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  return wrong_type(key, "true or false");
}

Result<std::vector<std::string>> File::get_strings(std::string_view key) const {
  return get_array<std::string>(find(key), key, "a list of texts");
}

Result<std::vector<int64_t>> File::get_ints(std::string_view key) const {
  const Value* value = find(key);
  if (value != nullptr && std::holds_alternative<Array>(*value)) {
    const auto* unsigned_items = std::get_if<std::vector<uint64_t>>(&std::get<Array>(*value));
    if (unsigned_items != nullptr) return std::vector<int64_t>(unsigned_items->begin(), unsigned_items->end());
  }
  return get_array<int64_t>(value, key, "a list of whole numbers");
}

Result<std::vector<float>> File::get_floats(std::string_view key) const {
  auto items = get_array<double>(find(key), key, "a list of numbers");
  if (!items) return tl::unexpected(items.error());
  return std::vector<float>(items->begin(), items->end());
}

}  // namespace lazyfill::gguf
