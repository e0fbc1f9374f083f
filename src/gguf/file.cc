#include "gguf/file.h"

#include <cmath>
#include <limits>

#include "base/quoted.h"
#include "gguf/cursor.h"
#include "gguf/metadata.h"
#include "gguf/split.h"
#include "gguf/tensors.h"

namespace lazyfill::gguf {
namespace {

// The smallest possible metadata pair and tensor description, in bytes: what bounds their counts.
constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;            // key length, key, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name length, name, n_dims, dim, type, offset

Result<uint32_t> read_version(Cursor& cursor) {
  const auto magic = cursor.read<uint32_t>("its first four bytes");
  if (!magic || *magic != kMagic)
    return cursor.error("this is not a GGUF file (it does not begin with GGUF)");
  const auto version = cursor.read<uint32_t>("the format's version");
  if (!version) return version;
  if (*version != 0 && (*version & 0xffffU) == 0) {
    return cursor.error("this GGUF file is big-endian; a little-endian one is needed",
                        ErrorCode::kUnsupported);
  }
  if (*version != 2 && *version != 3) {
    return cursor.error(
        "GGUF version " + std::to_string(*version) + " is not supported; versions 2 and 3 are",
        ErrorCode::kUnsupported);
  }
  return version;
}

// The vector of a Value that holds an array of T; null otherwise.
template <class T>
const std::vector<T>* array_of(const Value& value) {
  const auto* array = std::get_if<Array>(&value);
  return array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
}

Result<Part> read_part(const std::string& path) {
  auto input = InputFile::open(path);
  if (!input) return tl::unexpected(input.error());
  Part part{std::move(*input)};
  Cursor cursor(part.input);
  const auto version = read_version(cursor);
  if (!version) return tl::unexpected(version.error());
  part.version = *version;
  const auto n_tensors = cursor.read_count(kMinTensorBytes, "the number of tensors");
  if (!n_tensors) return tl::unexpected(n_tensors.error());
  const auto n_pairs = cursor.read_count(kMinPairBytes, "the number of metadata keys");
  if (!n_pairs) return tl::unexpected(n_pairs.error());

  auto metadata = read_metadata(cursor, *n_pairs);
  if (!metadata) return tl::unexpected(metadata.error());
  part.metadata = std::move(*metadata);
  const auto alignment = checked_alignment(part.metadata);
  if (!alignment) return cursor.error(alignment.error().message);
  auto tensors = read_tensors(cursor, *n_tensors, *alignment);
  if (!tensors) return tl::unexpected(tensors.error());
  part.tensors = std::move(*tensors);
  return part;
}

}  // namespace

Result<File> File::open(const std::string& path) {
  auto part = read_part(path);
  if (!part) return tl::unexpected(part.error());
  auto parts = all_parts(path, std::move(*part), read_part);
  if (!parts) return tl::unexpected(parts.error());
  File file;
  const auto taken = file.take(std::move(*parts));
  if (!taken) return tl::unexpected(taken.error());
  return file;
}

Result<void> File::take(std::vector<Part> parts) {
  version_ = parts.front().version;
  metadata_ = std::move(parts.front().metadata);
  for (Part& part : parts) {
    for (TensorInfo& tensor : part.tensors) {
      if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
        return fail(ErrorCode::kInvalidFile,
                    part.input.path() + ": the tensor " + quoted(tensor.name) + " appears twice");
      }
      tensors_.push_back(std::move(tensor));
    }
    inputs_.push_back(std::move(part.input));
  }
  return {};
}

uint64_t File::size_bytes() const {
  uint64_t sum = 0;  // of files that exist: cannot wrap
  for (const InputFile& input : inputs_) sum += input.size_bytes();
  return sum;
}

Result<void> File::read_rows(const TensorInfo& tensor, uint64_t begin, uint64_t end, std::byte* to) const {
  if (begin > end || end > tensor.n_rows()) {
    return fail(ErrorCode::kInvalidArgument,
                "rows that the tensor " + quoted(tensor.name) + " does not have were asked for");
  }
  const uint64_t row_bytes = tensor.row_bytes();  // open() has checked that the tensor lies inside the file
  return inputs_[tensor.part].read_at(tensor.offset_bytes + begin * row_bytes,
                                      {to, (end - begin) * row_bytes});
}

Result<void> File::read_first(const TensorInfo& tensor, std::span<std::byte> to) const {
  if (to.size() > tensor.n_bytes) {
    return fail(ErrorCode::kInvalidArgument,
                "more bytes than the tensor " + quoted(tensor.name) + " has were asked for");
  }
  return inputs_[tensor.part].read_at(tensor.offset_bytes, to);
}

const Value* File::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

tl::unexpected<Error> File::key_error(std::string_view key, std::string_view message) const {
  return fail(ErrorCode::kInvalidFile,
              inputs_.front().path() + ": the metadata key " + quoted(key) + " " + std::string(message));
}

Result<const Value*> File::require(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return key_error(key, "is missing");
  return value;
}

Result<uint64_t> File::get_uint(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  if (const auto* number = std::get_if<uint64_t>(*value)) return *number;
  const auto* number = std::get_if<int64_t>(*value);
  if (number == nullptr) return key_error(key, "is not an integer");
  if (*number < 0) return key_error(key, "is negative");
  return static_cast<uint64_t>(*number);
}

Result<double> File::get_float(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  if (const auto* number = std::get_if<uint64_t>(*value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<int64_t>(*value)) return static_cast<double>(*number);
  const auto* number = std::get_if<double>(*value);
  if (number == nullptr) return key_error(key, "is not a number");
  if (!std::isfinite(*number)) return key_error(key, "is not finite");
  return *number;
}

Result<std::string> File::get_string(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  const auto* text = std::get_if<std::string>(*value);
  if (text == nullptr) return key_error(key, "is not a string");
  return *text;
}

Result<bool> File::get_bool(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  const auto* flag = std::get_if<bool>(*value);
  if (flag == nullptr) return key_error(key, "is not a boolean");
  return *flag;
}

Result<std::vector<std::string>> File::get_strings(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  const auto* texts = array_of<std::string>(**value);
  if (texts == nullptr) return key_error(key, "is not an array of strings");
  return *texts;
}

Result<std::vector<int64_t>> File::get_ints(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  if (const auto* numbers = array_of<int64_t>(**value)) return *numbers;
  const auto* numbers = array_of<uint64_t>(**value);
  if (numbers == nullptr) return key_error(key, "is not an array of integers");
  std::vector<int64_t> ints;
  ints.reserve(numbers->size());
  for (const uint64_t number : *numbers) {
    if (number > INT64_MAX) return key_error(key, "holds a number that is too large");
    ints.push_back(static_cast<int64_t>(number));
  }
  return ints;
}

Result<std::vector<float>> File::get_floats(std::string_view key) const {
  const auto value = require(key);
  if (!value) return tl::unexpected(value.error());
  const auto* numbers = array_of<double>(**value);
  if (numbers == nullptr) return key_error(key, "is not an array of floats");
  std::vector<float> floats;
  floats.reserve(numbers->size());
  for (const double number : *numbers) {
    // Also false for NaN.
    if (!(std::abs(number) <= std::numeric_limits<float>::max())) {
      return key_error(key, "holds a number that is not finite");
    }
    floats.push_back(static_cast<float>(number));
  }
  return floats;
}

}  // namespace lazyfill::gguf
