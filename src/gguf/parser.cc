#include "gguf/parser.h"

#include <algorithm>

#include "base/checked.h"
#include "gguf/cursor.h"

namespace lazyfill::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF" in little-endian order
constexpr uint64_t kMaxAlignment = 1U << 16;
constexpr uint64_t kMaxNameBytes = 256;
constexpr uint32_t kMaxDimensions = 4;

enum class ValueType : uint32_t {
  kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64, kCount
};

tl::unexpected<Error> bad(std::string message) { return fail(ErrorCode::kInvalidFile, std::move(message)); }

tl::unexpected<Error> truncated(std::string_view where) {
  return bad("the file ends in the middle of " + std::string(where) + "; download it again");
}

std::string printable(std::string_view text) {
  std::string safe;
  for (char c : text.substr(0, 64)) safe += c >= ' ' && c < 127 ? c : '?';
  return safe;
}

size_t min_bytes(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    default:
      return 8;
  }
}

// One scalar, widened.
std::optional<Value> read_scalar(Cursor& cursor, ValueType type) {
  const auto widen = [](auto wide, auto read) -> std::optional<Value> {
    if (!read) return std::nullopt;
    return Value(static_cast<decltype(wide)>(*read));
  };
  switch (type) {
    case ValueType::kU8: return widen(uint64_t{}, cursor.read<uint8_t>());
    case ValueType::kI8: return widen(int64_t{}, cursor.read<int8_t>());
    case ValueType::kU16: return widen(uint64_t{}, cursor.read<uint16_t>());
    case ValueType::kI16: return widen(int64_t{}, cursor.read<int16_t>());
    case ValueType::kU32: return widen(uint64_t{}, cursor.read<uint32_t>());
    case ValueType::kI32: return widen(int64_t{}, cursor.read<int32_t>());
    case ValueType::kF32: return widen(double{}, cursor.read<float>());
    case ValueType::kBool: return widen(bool{}, cursor.read<uint8_t>());
    case ValueType::kU64: return widen(uint64_t{}, cursor.read<uint64_t>());
    case ValueType::kI64: return widen(int64_t{}, cursor.read<int64_t>());
    case ValueType::kF64: return widen(double{}, cursor.read<double>());
    case ValueType::kString: {
      const auto text = cursor.read_string();
      return text ? std::optional<Value>(std::string(*text)) : std::nullopt;
    }
    default: return std::nullopt;
  }
}

template <class T>
Result<Value> read_items(Cursor& cursor, ValueType type, uint64_t n) {
  std::vector<T> items;
  items.reserve(static_cast<size_t>(n));
  for (uint64_t i = 0; i < n; ++i) {
    auto item = read_scalar(cursor, type);
    if (!item) return truncated("a metadata list");
    items.push_back(std::get<T>(std::move(*item)));
  }
  return Value(Array(std::move(items)));
}

Result<Value> read_array(Cursor& cursor) {
  const auto type_number = cursor.read<uint32_t>();
  const auto n = cursor.read<uint64_t>();
  if (!type_number || !n) return truncated("a metadata list");
  if (*type_number >= static_cast<uint32_t>(ValueType::kCount)) return bad("a metadata list of an unknown type");
  const auto type = static_cast<ValueType>(*type_number);
  if (type == ValueType::kArray) return bad("a metadata list of lists, which no model needs");
  if (*n > cursor.remaining() / min_bytes(type)) return bad("a metadata list is longer than the file");
  switch (type) {
    case ValueType::kU8:
    case ValueType::kU16:
    case ValueType::kU32:
    case ValueType::kU64: return read_items<uint64_t>(cursor, type, *n);
    case ValueType::kF32:
    case ValueType::kF64: return read_items<double>(cursor, type, *n);
    case ValueType::kBool: return read_items<bool>(cursor, type, *n);
    case ValueType::kString: return read_items<std::string>(cursor, type, *n);
    default: return read_items<int64_t>(cursor, type, *n);
  }
}

Result<void> read_metadata(Cursor& cursor, uint64_t n, Header& header) {
  for (uint64_t i = 0; i < n; ++i) {
    const auto key = cursor.read_string();
    const auto type = cursor.read<uint32_t>();
    if (!key || !type) return truncated("the metadata");
    if (key->empty() || key->size() > kMaxNameBytes) return bad("a metadata key is empty or too long");
    if (*type >= static_cast<uint32_t>(ValueType::kCount)) {
      return bad("the metadata key " + printable(*key) + " is of an unknown type");
    }
    Result<Value> value = bad("");
    if (static_cast<ValueType>(*type) == ValueType::kArray) {
      value = read_array(cursor);
    } else if (auto scalar = read_scalar(cursor, static_cast<ValueType>(*type))) {
      value = std::move(*scalar);
    } else {
      value = truncated("the metadata");
    }
    if (!value) return bad(value.error().message + " (metadata key " + printable(*key) + ")");
    if (!header.metadata.emplace(*key, std::move(*value)).second) {
      return bad("the metadata key " + printable(*key) + " appears twice");
    }
  }
  return {};
}

Result<TensorInfo> read_tensor(Cursor& cursor) {
  const auto name = cursor.read_string();
  const auto n_dims = cursor.read<uint32_t>();
  if (!name || !n_dims) return truncated("the list of tensors");
  if (name->empty() || name->size() > kMaxNameBytes || name->find('\0') != std::string_view::npos) {
    return bad("a tensor's name is empty, too long or holds a zero byte");
  }
  TensorInfo tensor;
  tensor.name = *name;
  const std::string who = "the tensor " + printable(*name);
  if (*n_dims == 0 || *n_dims > kMaxDimensions) return bad(who + " has " + std::to_string(*n_dims) + " dimensions");
  uint64_t n_elements = 1;
  for (uint32_t i = 0; i < *n_dims; ++i) {
    const auto size = cursor.read<uint64_t>();
    if (!size) return truncated("the list of tensors");
    const auto product = checked_mul(n_elements, *size);
    if (*size == 0 || !product) return bad(who + " has an impossible shape");
    n_elements = *product;
    tensor.shape.push_back(*size);
  }
  const auto type = cursor.read<uint32_t>();
  const auto offset = cursor.read<uint64_t>();
  if (!type || !offset) return truncated("the list of tensors");
  tensor.type = static_cast<TensorType>(*type);
  const auto traits = traits_of(tensor.type);
  if (!traits) {
    return fail(ErrorCode::kUnsupported, who + " is of type number " + std::to_string(*type) + ", which is not known");
  }
  if (tensor.shape[0] % traits->block_elements != 0) return bad(who + " has rows that are no whole number of blocks");
  const auto n_bytes = checked_mul(n_elements / traits->block_elements, traits->block_bytes);
  if (!n_bytes) return bad(who + " has an impossible size");
  tensor.n_elements = n_elements;
  tensor.n_bytes = *n_bytes;
  tensor.offset_bytes = *offset;
  return tensor;
}

Result<uint64_t> read_alignment(const Header& header) {
  const auto it = header.metadata.find("general.alignment");
  if (it == header.metadata.end()) return 32;
  const auto* alignment = std::get_if<uint64_t>(&it->second);
  if (alignment == nullptr || *alignment < 8 || *alignment > kMaxAlignment || (*alignment & (*alignment - 1)) != 0) {
    return bad("general.alignment must be a power of two from 8 to " + std::to_string(kMaxAlignment));
  }
  return *alignment;
}

// Offsets become relative to the file; every tensor must lie inside it, aligned, and on no other's bytes.
Result<void> place_tensors(Header& header, uint64_t data_begin, uint64_t alignment, uint64_t file_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (TensorInfo& tensor : header.tensors) {
    const std::string who = "the tensor " + printable(tensor.name);
    if (tensor.offset_bytes % alignment != 0) return bad(who + " is not aligned");
    const auto begin = checked_add(data_begin, tensor.offset_bytes);
    const auto end = begin ? checked_add(*begin, tensor.n_bytes) : std::nullopt;
    if (!end || *end > file_bytes) return bad(who + " lies beyond the end of the file; download it again");
    tensor.offset_bytes = *begin;
    spans.emplace_back(*begin, *end);
  }
  std::sort(spans.begin(), spans.end());
  for (size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].first < spans[i - 1].second) return bad("two tensors lie on the same bytes");
  }
  return {};
}

Result<void> check_names(const Header& header) {
  std::vector<std::string_view> names;
  for (const TensorInfo& tensor : header.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return bad("the tensor " + printable(*twice) + " appears twice");
  return {};
}

}  // namespace

Result<Header> parse_header(std::span<const std::byte> bytes) {
  Cursor cursor(bytes);
  Header header;
  const auto magic = cursor.read<uint32_t>();
  if (!magic || *magic != kMagic) return bad("this is not a GGUF file");
  const auto version = cursor.read<uint32_t>();
  if (!version) return truncated("the header");
  if (*version != 2 && *version != 3) {
    return fail(ErrorCode::kUnsupported, (*version & 0xFFFF) == 0 && *version != 0
                                             ? std::string("this is a big-endian GGUF file; convert it to little-endian")
                                             : "GGUF version " + std::to_string(*version) + "; versions 2 and 3 are read");
  }
  header.version = *version;
  const auto n_tensors = cursor.read<uint64_t>();
  const auto n_values = cursor.read<uint64_t>();
  if (!n_tensors || !n_values) return truncated("the header");
  // The smallest value takes 8 + 4 + 1 bytes after its key, the smallest tensor 8 + 4 + 8 + 4 + 8 after its name.
  if (*n_values > cursor.remaining() / 13 || *n_tensors > cursor.remaining() / 32) {
    return bad("the header counts more tensors or metadata than the file could hold");
  }
  if (auto read = read_metadata(cursor, *n_values, header); !read) return tl::unexpected(read.error());
  for (uint64_t i = 0; i < *n_tensors; ++i) {
    auto tensor = read_tensor(cursor);
    if (!tensor) return tl::unexpected(tensor.error());
    header.tensors.push_back(std::move(*tensor));
  }
  if (auto checked = check_names(header); !checked) return tl::unexpected(checked.error());
  const auto alignment = read_alignment(header);
  if (!alignment) return tl::unexpected(alignment.error());
  const auto data_begin = checked_align_up(cursor.position(), *alignment);
  if (!data_begin) return bad("the header is too long");
  auto placed = place_tensors(header, *data_begin, *alignment, bytes.size());
  if (!placed) return tl::unexpected(placed.error());
  return header;
}

}  // namespace lazyfill::gguf
