// Reads forward through bytes that nobody vouches for: no read passes the end, no count is believed that the
// rest of the file could not hold. Internal to gguf/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/half.h"
#include "base/input_file.h"
#include "lazyfill/error.h"

namespace lazyfill::gguf {

// The value types of the format's metadata.
enum class ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 65536;
constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDims = 4;
// Of metadata and tensor descriptions together. The largest vocabularies take 20 MB; what claims more is not
// worth the memory that it would cost.
constexpr uint64_t kMaxHeaderBytes = uint64_t{1} << 29;

class Cursor {
 public:
  explicit Cursor(const InputFile& file) : file_(file) {}

  uint64_t position() const { return position_; }
  uint64_t size() const { return file_.size_bytes(); }

  // "PATH: MESSAGE"
  tl::unexpected<Error> error(std::string_view message, ErrorCode code = ErrorCode::kInvalidFile) const;

  // `what` stands in the error sentence: "the file ends inside WHAT".
  template <class T>
  Result<T> read(std::string_view what) {
    const auto bytes = read_bytes(sizeof(T), what);
    if (!bytes) return tl::unexpected(bytes.error());
    return load_unaligned<T>(bytes->data());
  }
  // What these two return is valid until the next read.
  Result<std::span<const std::byte>> read_bytes(uint64_t n, std::string_view what);
  // A 64-bit length and as many bytes.
  Result<std::string_view> read_string(std::string_view what);
  // A 64-bit number of things that take at least min_bytes each.
  Result<uint64_t> read_count(uint64_t min_bytes, std::string_view what);

 private:
  uint64_t remaining() const { return std::min(size(), kMaxHeaderBytes) - position_; }
  tl::unexpected<Error> ends_inside(std::string_view what) const;
  // Makes the window hold [position, position + n), which lies inside the file.
  Result<void> fetch(uint64_t n);

  const InputFile& file_;
  uint64_t position_ = 0;
  std::vector<std::byte> window_;  // a part of the file that is read at once
  uint64_t window_begin_ = 0;
};

}  // namespace lazyfill::gguf
