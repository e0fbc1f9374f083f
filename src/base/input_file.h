// A file that is read piece by piece. Nothing of it is ever mapped: a file that shrinks or is replaced while
// it is in use ends in an error value, where a mapping would end in a signal (SIGBUS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "lazyfill/error.h"

namespace lazyfill {

class InputFile {
 public:
  // Fails with a sentence when the file is missing, unreadable, no regular file, or empty.
  static Result<InputFile> open(const std::string& path);

  InputFile(InputFile&& other) noexcept { swap(other); }
  InputFile& operator=(InputFile&& other) noexcept {
    swap(other);
    return *this;
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::string& path() const { return path_; }
  uint64_t size_bytes() const { return size_; }  // when it was opened

  // Fills `to` with the bytes from `offset` on. Fails where they lie outside the file, where it has become
  // shorter, and where the medium cannot be read. Threads may read at the same time.
  Result<void> read_at(uint64_t offset, std::span<std::byte> to) const;

 private:
  InputFile() = default;
  void swap(InputFile& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(size_, other.size_);
  }
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace lazyfill
