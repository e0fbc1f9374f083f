// Reads the header of a GGUF file front to back; never past its end.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace lazyfill::gguf {

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  template <class T>
  std::optional<T> read() {
    static_assert(std::is_arithmetic_v<T>);
    if (remaining() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A 64-bit length, then so many bytes. The view lives as long as the bytes.
  std::optional<std::string_view> read_string() {
    const auto length = read<uint64_t>();
    if (!length || *length > remaining()) return std::nullopt;
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + position_),
                                static_cast<size_t>(*length));
    position_ += text.size();
    return text;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace lazyfill::gguf
