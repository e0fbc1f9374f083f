#include "gguf/writer.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <limits>
#include <type_traits>

#include "base/quoted.h"
#include "gguf/cursor.h"
#include "gguf/metadata.h"
#include "gguf/tensors.h"

namespace lazyfill::gguf {
namespace {

// Grows by little-endian numbers, strings with their length, and padding.
class ByteSink {
 public:
  template <class T>
  void put(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    for (size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(bytes[i]);
  }
  void put_type(ValueType type) { put(static_cast<uint32_t>(type)); }
  void put_string(std::string_view text) {
    put<uint64_t>(text.size());
    put_bytes(std::as_bytes(std::span(text)));
  }
  void put_bytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void pad_to(uint64_t alignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

template <class Narrow, class T>
bool fits(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::bit_cast<uint64_t>(static_cast<T>(static_cast<Narrow>(value))) ==
           std::bit_cast<uint64_t>(value);
  } else {
    return value >= std::numeric_limits<Narrow>::min() && value <= std::numeric_limits<Narrow>::max();
  }
}

// How the reader's number types are written: narrow where every value fits.
template <class T>
struct Widths;
template <>
struct Widths<int64_t> {
  using Narrow = int32_t;
  static constexpr ValueType kNarrow = ValueType::kInt32;
  static constexpr ValueType kWide = ValueType::kInt64;
};
template <>
struct Widths<uint64_t> {
  using Narrow = uint32_t;
  static constexpr ValueType kNarrow = ValueType::kUint32;
  static constexpr ValueType kWide = ValueType::kUint64;
};
template <>
struct Widths<double> {
  using Narrow = float;
  static constexpr ValueType kNarrow = ValueType::kFloat32;
  static constexpr ValueType kWide = ValueType::kFloat64;
};

template <class T>
void put_scalar(ByteSink& sink, T value) {
  using Narrow = typename Widths<T>::Narrow;
  const bool narrow = fits<Narrow>(value);
  sink.put_type(narrow ? Widths<T>::kNarrow : Widths<T>::kWide);
  narrow ? sink.put(static_cast<Narrow>(value)) : sink.put(value);
}
void put_scalar(ByteSink& sink, bool value) {
  sink.put_type(ValueType::kBool);
  sink.put<uint8_t>(value ? 1 : 0);
}
void put_scalar(ByteSink& sink, const std::string& value) {
  sink.put_type(ValueType::kString);
  sink.put_string(value);
}

template <class T>
void put_items(ByteSink& sink, const std::vector<T>& items) {
  using Narrow = typename Widths<T>::Narrow;
  const bool narrow = std::all_of(items.begin(), items.end(), [](T item) { return fits<Narrow>(item); });
  sink.put_type(narrow ? Widths<T>::kNarrow : Widths<T>::kWide);
  sink.put<uint64_t>(items.size());
  for (const T item : items) narrow ? sink.put(static_cast<Narrow>(item)) : sink.put(item);
}
void put_items(ByteSink& sink, const std::vector<bool>& items) {
  sink.put_type(ValueType::kBool);
  sink.put<uint64_t>(items.size());
  for (const bool item : items) sink.put<uint8_t>(item ? 1 : 0);
}
void put_items(ByteSink& sink, const std::vector<std::string>& items) {
  sink.put_type(ValueType::kString);
  sink.put<uint64_t>(items.size());
  for (const std::string& item : items) sink.put_string(item);
}

void put_scalar(ByteSink& sink, const Array& array) {
  sink.put_type(ValueType::kArray);
  std::visit([&](const auto& items) { put_items(sink, items); }, array);
}

}  // namespace

void Writer::set(std::string key, Value value) {
  metadata_.insert_or_assign(std::move(key), std::move(value));
}

Result<void> Writer::add_tensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                                std::span<const std::byte> data) {
  const std::string what = "the tensor " + quoted(name);
  if (name.empty() || name.size() > kMaxTensorNameBytes || name.find('\0') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, what + " has a name that the format does not allow");
  }
  if (std::any_of(tensors_.begin(), tensors_.end(), [&](const Tensor& t) { return t.name == name; })) {
    return fail(ErrorCode::kInvalidArgument, what + " is there already");
  }
  const auto size = tensor_size(type, shape);
  if (!size) return fail(ErrorCode::kInvalidArgument, what + " " + size.error().message);
  if (shape.size() > kMaxDims || size->n_bytes != data.size()) {
    return fail(ErrorCode::kInvalidArgument, what + " has " + std::to_string(data.size()) +
                                                 " bytes of data; its shape needs " +
                                                 std::to_string(size->n_bytes));
  }
  tensors_.push_back({std::move(name), type, std::move(shape), {data.begin(), data.end()}});
  return {};
}

Result<std::vector<std::byte>> Writer::bytes() const {
  const auto align = checked_alignment(metadata_);
  if (!align) return fail(ErrorCode::kInvalidArgument, align.error().message);
  ByteSink sink;
  sink.put(kMagic);
  sink.put<uint32_t>(3);
  sink.put<uint64_t>(tensors_.size());
  sink.put<uint64_t>(metadata_.size());
  for (const auto& [key, value] : metadata_) {
    sink.put_string(key);
    std::visit([&](const auto& held) { put_scalar(sink, held); }, value);
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    sink.put_string(tensor.name);
    sink.put(static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t dim : tensor.shape) sink.put(dim);
    sink.put(static_cast<uint32_t>(tensor.type));
    sink.put(offset);
    offset += (tensor.data.size() + *align - 1) / *align * *align;
  }
  for (const Tensor& tensor : tensors_) {
    sink.pad_to(*align);
    sink.put_bytes(tensor.data);
  }
  sink.pad_to(*align);
  return sink.take();
}

Result<void> Writer::save(const std::string& path) const {
  const auto contents = bytes();
  if (!contents) return tl::unexpected(contents.error());
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return fail(ErrorCode::kNotFound, "cannot write " + path);
  const size_t n_written = std::fwrite(contents->data(), 1, contents->size(), file);
  const bool closed = std::fclose(file) == 0;
  if (n_written != contents->size() || !closed)
    return fail(ErrorCode::kNotFound, "cannot write all of " + path);
  return {};
}

}  // namespace lazyfill::gguf
