#include "base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lazyfill {
namespace {

Result<uint64_t> regular_file_size(int descriptor, const std::string& path) {
  struct stat info {};
  if (fstat(descriptor, &info) != 0)
    return fail(ErrorCode::kNotFound, "cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalidFile, path + " is not a regular file");
  if (info.st_size == 0) return fail(ErrorCode::kInvalidFile, path + " is empty");
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

Result<InputFile> InputFile::open(const std::string& path) {
  InputFile file;
  // O_NONBLOCK: opening a named pipe must not wait for somebody to write to it; it changes nothing for files.
  file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.descriptor_ < 0)
    return fail(ErrorCode::kNotFound, "cannot open " + path + ": " + std::strerror(errno));
  const auto size = regular_file_size(file.descriptor_, path);
  if (!size) return tl::unexpected(size.error());
  file.path_ = path;
  file.size_ = *size;
  return file;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<void> InputFile::read_at(uint64_t offset, std::span<std::byte> to) const {
  if (offset > size_ || to.size() > size_ - offset) {
    return fail(ErrorCode::kInvalidFile, path_ + ": " + std::to_string(to.size()) + " bytes at the offset " +
                                             std::to_string(offset) + " lie outside the file");
  }
  size_t n_done = 0;
  while (n_done < to.size()) {
    const ssize_t n =
        pread(descriptor_, to.data() + n_done, to.size() - n_done, static_cast<off_t>(offset + n_done));
    if (n > 0) {
      n_done += static_cast<size_t>(n);
    } else if (n == 0) {
      return fail(
          ErrorCode::kInvalidFile,
          path_ + " has become shorter while it was in use; bring the whole file back and start again");
    } else if (errno != EINTR) {
      return fail(ErrorCode::kNotFound, "cannot read " + path_ + ": " + std::strerror(errno));
    }
  }
  return {};
}

}  // namespace lazyfill
