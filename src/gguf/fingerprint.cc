#include "gguf/fingerprint.h"

#include <algorithm>
#include <array>
#include <span>

namespace lazyfill::gguf {
namespace {

constexpr size_t kSampledBytes = 64;  // of each tensor: touches one page of it

// FNV-1a, 64 bits.
class Hash {
 public:
  void add(const void* data, size_t n_bytes) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < n_bytes; ++i) state_ = (state_ ^ bytes[i]) * 0x100000001B3ULL;
  }
  void add(uint64_t value) {
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
    add(bytes, sizeof bytes);
  }
  std::string hex() const {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text(16, '0');
    for (unsigned i = 0; i < 16; ++i) text[i] = kDigits[state_ >> (60 - 4 * i) & 15U];
    return text;
  }

 private:
  uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace

Result<std::string> fingerprint(const File& file) {
  Hash hash;
  for (const TensorInfo& tensor : file.tensors()) {
    hash.add(tensor.name.size());
    hash.add(tensor.name.data(), tensor.name.size());
    hash.add(static_cast<uint64_t>(tensor.type));
    for (uint64_t length : tensor.shape) hash.add(length);
    std::array<std::byte, kSampledBytes> sample;
    const std::span<std::byte> first =
        std::span(sample).first(std::min<size_t>(tensor.n_bytes, kSampledBytes));
    if (auto read = file.read_first(tensor, first); !read) return tl::unexpected(read.error());
    hash.add(first.data(), first.size());
  }
  return hash.hex();
}

}  // namespace lazyfill::gguf
