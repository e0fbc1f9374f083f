#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lazyfill {
namespace {

Result<size_t> regular_file_size(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0)
    return fail(ErrorCode::kNotFound, "cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalidFile, path + " is not a regular file");
  if (info.st_size == 0) return fail(ErrorCode::kInvalidFile, path + " is empty");
  return static_cast<size_t>(info.st_size);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(ErrorCode::kNotFound, "cannot open " + path + ": " + std::strerror(errno));
  auto size = regular_file_size(fd, path);
  if (!size) {
    close(fd);
    return tl::unexpected(size.error());
  }
  void* pages = mmap(nullptr, *size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_errno = errno;
  close(fd);
  if (pages == MAP_FAILED) {
    return fail(ErrorCode::kNotFound, "cannot map " + path + ": " + std::strerror(map_errno));
  }
  MappedFile file;
  file.data_ = static_cast<const std::byte*>(pages);
  file.size_ = *size;
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages() const {
  if (data_ != nullptr) madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

}  // namespace lazyfill
