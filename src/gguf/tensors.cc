#include "gguf/tensors.h"

#include <algorithm>
#include <cstdint>

#include "base/checked.h"
#include "base/quoted.h"

namespace lazyfill::gguf {
namespace {

std::string describe(const TensorInfo& tensor) {
  return "the tensor " + quoted(tensor.name);
}

Result<std::string> read_name(Cursor& cursor) {
  const auto name = cursor.read_string("a tensor's name");
  if (!name) return tl::unexpected(name.error());
  if (name->empty()) return cursor.error("a tensor has no name");
  if (name->size() > kMaxTensorNameBytes) {
    return cursor.error("the tensor name " + quoted(*name) + " is longer than the " +
                        std::to_string(kMaxTensorNameBytes) + " bytes that the format allows");
  }
  if (name->find('\0') != std::string_view::npos) {
    return cursor.error("the tensor name " + quoted(*name) + " holds a zero byte");
  }
  return std::string(*name);
}

Result<std::vector<uint64_t>> read_shape(Cursor& cursor, const std::string& what) {
  const auto n_dims = cursor.read<uint32_t>(what);
  if (!n_dims) return tl::unexpected(n_dims.error());
  if (*n_dims == 0 || *n_dims > kMaxDims) {
    return cursor.error(what + " has " + std::to_string(*n_dims) + " dimensions; 1 to " +
                        std::to_string(kMaxDims) + " are allowed");
  }
  std::vector<uint64_t> shape;
  for (uint32_t i = 0; i < *n_dims; ++i) {
    const auto dim = cursor.read<uint64_t>(what);
    if (!dim) return tl::unexpected(dim.error());
    shape.push_back(*dim);
  }
  return shape;
}

// offset_bytes counts from the start of the data until place_tensors() makes it count from the file's.
Result<TensorInfo> read_tensor(Cursor& cursor) {
  TensorInfo tensor;
  auto name = read_name(cursor);
  if (!name) return tl::unexpected(name.error());
  tensor.name = std::move(*name);
  const std::string what = describe(tensor);

  auto shape = read_shape(cursor, what);
  if (!shape) return tl::unexpected(shape.error());
  tensor.shape = std::move(*shape);
  const auto type = cursor.read<uint32_t>(what);
  if (!type) return tl::unexpected(type.error());
  tensor.type = static_cast<TensorType>(*type);
  const auto offset = cursor.read<uint64_t>(what);
  if (!offset) return tl::unexpected(offset.error());
  tensor.offset_bytes = *offset;

  const auto size = tensor_size(tensor.type, tensor.shape);
  if (!size) return cursor.error(what + " " + size.error().message, size.error().code);
  tensor.n_elements = size->n_elements;
  tensor.n_bytes = size->n_bytes;
  return tensor;
}

Result<void> place_tensor(const Cursor& cursor, uint64_t data_start, uint64_t alignment, TensorInfo& tensor) {
  if (tensor.offset_bytes % alignment != 0) {
    return cursor.error(describe(tensor) + " begins at the offset " + std::to_string(tensor.offset_bytes) +
                        ", which is no multiple of the alignment " + std::to_string(alignment));
  }
  const auto begin = checked_add(data_start, tensor.offset_bytes);
  const auto end = begin ? checked_add(*begin, tensor.n_bytes) : begin;
  if (!end || *end > cursor.size()) {
    return cursor.error(describe(tensor) + " (" + std::to_string(tensor.n_bytes) + " bytes at the offset " +
                        std::to_string(tensor.offset_bytes) +
                        ") reaches past the end of the file; it is damaged or not complete");
  }
  tensor.offset_bytes = *begin;
  return {};
}

Result<void> check_overlaps(const Cursor& cursor, const std::vector<TensorInfo>& tensors) {
  std::vector<const TensorInfo*> by_offset;
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const auto* a, const auto* b) { return a->offset_bytes < b->offset_bytes; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const TensorInfo& before = *by_offset[i - 1];
    // Both ends lie inside the file, so the sum cannot wrap.
    if (before.offset_bytes + before.n_bytes > by_offset[i]->offset_bytes) {
      return cursor.error(describe(before) + " and " + describe(*by_offset[i]) + " overlap");
    }
  }
  return {};
}

}  // namespace

Result<TensorSize> tensor_size(TensorType type, const std::vector<uint64_t>& shape) {
  const auto traits = traits_of(type);
  if (!traits) {
    return fail(ErrorCode::kUnsupported,
                "has the type number " + std::to_string(static_cast<uint32_t>(type)) +
                    ", which this build does not know; it reads " + readable_types());
  }
  std::optional<uint64_t> n_elements = 1;
  for (const uint64_t dim : shape) {
    if (dim == 0) return fail(ErrorCode::kInvalidFile, "has a dimension of 0");
    n_elements = n_elements ? checked_mul(*n_elements, dim) : n_elements;
  }
  if (shape.empty() || shape[0] % traits->block_elements != 0) {
    return fail(ErrorCode::kInvalidFile, "has rows of " + std::to_string(shape.empty() ? 0 : shape[0]) +
                                             " elements, no whole number of blocks of the type " +
                                             std::string(traits->name));
  }
  // Signed 64-bit sizes are what the rest of the world computes with: anything above is as good as an
  // overflow.
  const auto n_bytes =
      n_elements ? checked_mul(*n_elements / traits->block_elements, traits->block_bytes) : std::nullopt;
  if (!n_bytes || *n_elements > INT64_MAX || *n_bytes > INT64_MAX) {
    return fail(ErrorCode::kInvalidFile, "has dimensions whose product is too large");
  }
  return TensorSize{*n_elements, *n_bytes};
}

Result<std::vector<TensorInfo>> read_tensors(Cursor& cursor, uint64_t n_tensors, uint64_t alignment) {
  std::vector<TensorInfo> tensors;
  for (uint64_t i = 0; i < n_tensors; ++i) {
    auto tensor = read_tensor(cursor);
    if (!tensor) return tl::unexpected(tensor.error());
    tensors.push_back(std::move(*tensor));
  }
  const auto data_start = checked_align_up(cursor.position(), alignment);
  if (!data_start) return cursor.error("the tensors' data begin past the end of the file");
  for (TensorInfo& tensor : tensors) {
    const auto placed = place_tensor(cursor, *data_start, alignment, tensor);
    if (!placed) return tl::unexpected(placed.error());
  }
  const auto apart = check_overlaps(cursor, tensors);
  if (!apart) return tl::unexpected(apart.error());
  return tensors;
}

}  // namespace lazyfill::gguf
