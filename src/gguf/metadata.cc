#include "gguf/metadata.h"

#include <bit>

#include "base/quoted.h"

namespace lazyfill::gguf {
namespace {

// One number of the file's type Stored as the reader's type Wide.
template <class Stored, class Wide>
Result<Value> read_number(Cursor& cursor, const std::string& what) {
  const auto value = cursor.read<Stored>(what);
  if (!value) return tl::unexpected(value.error());
  return Value(static_cast<Wide>(*value));
}

Result<bool> read_bool(Cursor& cursor, const std::string& what) {
  const auto byte = cursor.read<uint8_t>(what);
  if (!byte) return tl::unexpected(byte.error());
  if (*byte > 1) return cursor.error(what + " holds a boolean that is neither 0 nor 1");
  return *byte == 1;
}

Result<Value> read_flag(Cursor& cursor, const std::string& what) {
  const auto flag = read_bool(cursor, what);
  if (!flag) return tl::unexpected(flag.error());
  return Value(*flag);
}

Result<Value> read_text(Cursor& cursor, const std::string& what) {
  const auto text = cursor.read_string(what);
  if (!text) return tl::unexpected(text.error());
  return Value(std::in_place_type<std::string>, *text);
}

template <class Stored, class Wide>
Result<Value> read_numbers(Cursor& cursor, const std::string& what) {
  const auto n = cursor.read_count(sizeof(Stored), "the length of " + what);
  if (!n) return tl::unexpected(n.error());
  const auto bytes = cursor.read_bytes(*n * sizeof(Stored), what);  // cannot wrap: the count fits the file
  if (!bytes) return tl::unexpected(bytes.error());
  std::vector<Wide> values(*n);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<Wide>(load_unaligned<Stored>(bytes->data() + i * sizeof(Stored)));
  }
  return Value(Array(std::move(values)));
}

Result<Value> read_bools(Cursor& cursor, const std::string& what) {
  const auto n = cursor.read_count(1, "the length of " + what);
  if (!n) return tl::unexpected(n.error());
  std::vector<bool> values(*n);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = read_bool(cursor, what);
    if (!value) return tl::unexpected(value.error());
    values[i] = *value;
  }
  return Value(Array(std::move(values)));
}

Result<Value> read_strings(Cursor& cursor, const std::string& what) {
  const auto n = cursor.read_count(sizeof(uint64_t), "the length of " + what);
  if (!n) return tl::unexpected(n.error());
  std::vector<std::string> values;
  values.reserve(*n);
  for (uint64_t i = 0; i < *n; ++i) {
    const auto value = cursor.read_string(what);
    if (!value) return tl::unexpected(value.error());
    values.emplace_back(*value);
  }
  return Value(Array(std::move(values)));
}

tl::unexpected<Error> unknown_type(const Cursor& cursor, uint32_t type, const std::string& what) {
  return cursor.error(what + " has the value type " + std::to_string(type) +
                      ", which the format does not know");
}

Result<Value> read_array(Cursor& cursor, const std::string& what) {
  const auto type = cursor.read<uint32_t>(what);
  if (!type) return tl::unexpected(type.error());
  switch (static_cast<ValueType>(*type)) {
    case ValueType::kUint8:
      return read_numbers<uint8_t, uint64_t>(cursor, what);
    case ValueType::kInt8:
      return read_numbers<int8_t, int64_t>(cursor, what);
    case ValueType::kUint16:
      return read_numbers<uint16_t, uint64_t>(cursor, what);
    case ValueType::kInt16:
      return read_numbers<int16_t, int64_t>(cursor, what);
    case ValueType::kUint32:
      return read_numbers<uint32_t, uint64_t>(cursor, what);
    case ValueType::kInt32:
      return read_numbers<int32_t, int64_t>(cursor, what);
    case ValueType::kUint64:
      return read_numbers<uint64_t, uint64_t>(cursor, what);
    case ValueType::kInt64:
      return read_numbers<int64_t, int64_t>(cursor, what);
    case ValueType::kFloat32:
      return read_numbers<float, double>(cursor, what);
    case ValueType::kFloat64:
      return read_numbers<double, double>(cursor, what);
    case ValueType::kBool:
      return read_bools(cursor, what);
    case ValueType::kString:
      return read_strings(cursor, what);
    case ValueType::kArray:
      return cursor.error(what + " is an array of arrays, which this build does not read");
  }
  return unknown_type(cursor, *type, what);
}

Result<Value> read_value(Cursor& cursor, const std::string& what) {
  const auto type = cursor.read<uint32_t>(what);
  if (!type) return tl::unexpected(type.error());
  switch (static_cast<ValueType>(*type)) {
    case ValueType::kUint8:
      return read_number<uint8_t, uint64_t>(cursor, what);
    case ValueType::kInt8:
      return read_number<int8_t, int64_t>(cursor, what);
    case ValueType::kUint16:
      return read_number<uint16_t, uint64_t>(cursor, what);
    case ValueType::kInt16:
      return read_number<int16_t, int64_t>(cursor, what);
    case ValueType::kUint32:
      return read_number<uint32_t, uint64_t>(cursor, what);
    case ValueType::kInt32:
      return read_number<int32_t, int64_t>(cursor, what);
    case ValueType::kUint64:
      return read_number<uint64_t, uint64_t>(cursor, what);
    case ValueType::kInt64:
      return read_number<int64_t, int64_t>(cursor, what);
    case ValueType::kFloat32:
      return read_number<float, double>(cursor, what);
    case ValueType::kFloat64:
      return read_number<double, double>(cursor, what);
    case ValueType::kBool:
      return read_flag(cursor, what);
    case ValueType::kString:
      return read_text(cursor, what);
    case ValueType::kArray:
      return read_array(cursor, what);
  }
  return unknown_type(cursor, *type, what);
}

Result<std::string> read_key(Cursor& cursor) {
  const auto key = cursor.read_string("a metadata key");
  if (!key) return tl::unexpected(key.error());
  if (key->empty()) return cursor.error("a metadata key is empty");
  if (key->size() > kMaxKeyBytes) {
    return cursor.error("the metadata key " + quoted(*key) + " is longer than the " +
                        std::to_string(kMaxKeyBytes) + " bytes that the format allows");
  }
  return std::string(*key);
}

}  // namespace

Result<Metadata> read_metadata(Cursor& cursor, uint64_t n_pairs) {
  Metadata metadata;
  for (uint64_t i = 0; i < n_pairs; ++i) {
    const auto key = read_key(cursor);
    if (!key) return tl::unexpected(key.error());
    auto value = read_value(cursor, "the metadata value of " + quoted(*key));
    if (!value) return tl::unexpected(value.error());
    if (!metadata.emplace(*key, std::move(*value)).second) {
      return cursor.error("the metadata key " + quoted(*key) + " appears twice");
    }
  }
  return metadata;
}

Result<uint64_t> checked_alignment(const Metadata& metadata) {
  const auto found = metadata.find(kAlignmentKey);
  if (found == metadata.end()) return kDefaultAlignment;
  const auto* alignment = std::get_if<uint64_t>(&found->second);
  if (alignment == nullptr)
    return fail(ErrorCode::kInvalidFile, "general.alignment is not an unsigned integer");
  if (!std::has_single_bit(*alignment) || *alignment < 8 || *alignment > kMaxAlignment) {
    return fail(ErrorCode::kInvalidFile, "general.alignment is " + std::to_string(*alignment) +
                                             "; a power of two from 8 to " + std::to_string(kMaxAlignment) +
                                             " is needed");
  }
  return *alignment;
}

}  // namespace lazyfill::gguf
