// A whole file, mapped read-only.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "lazyfill/error.h"

namespace lazyfill {

class MappedFile {
 public:
  // Fails with a sentence when the file is missing, unreadable, a folder, or empty.
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Gives the pages back to the system; a later read brings them in again from the file.
  void release_pages() const;

 private:
  MappedFile() = default;
  void swap(MappedFile& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lazyfill
