#include "cli/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "cli/options.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "engine/presets.h"
#include "gguf/split.h"

namespace lazyfill::cli {
namespace {

namespace fs = std::filesystem;
using FileStatus = struct stat;

std::optional<FileStatus> status_of(const std::string& path) {
  FileStatus status{};
  const int failed = path == "-" ? fstat(STDIN_FILENO, &status) : stat(path.c_str(), &status);
  return failed == 0 ? std::optional(status) : std::nullopt;
}

bool same_inode(const FileStatus& a, const FileStatus& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Where a file of this name is or would be: links followed, also one that leads to nothing yet.
std::string followed(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the kernel's
  std::error_code error;
  fs::path at(path);
  for (int i = 0; i < kMostLinks && fs::is_symlink(fs::symlink_status(at, error)); ++i) {
    const fs::path next = fs::read_symlink(at, error);
    if (error) break;
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  const fs::path folder = fs::weakly_canonical(at.has_parent_path() ? at.parent_path() : ".", error);
  return error || !at.has_filename() ? at.string() : (folder / at.filename()).string();
}

// Through which the shell opened this file for the program: to rename another to it would part the two. -1:
// none.
int inherited(const FileStatus& file) {
  constexpr int kMostDescriptors = 256;
  for (int fd = STDOUT_FILENO; fd < kMostDescriptors; ++fd) {
    const int flags = fcntl(fd, F_GETFL);
    FileStatus status{};
    const bool writable = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    if (writable && fstat(fd, &status) == 0 && same_inode(status, file)) return fd;
  }
  return -1;
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// A new file beside `path`. Its name is short: that of `path` may be as long as names can be.
int create_beside(const std::string& path, std::string& name) {
  for (int i = 0; i < 1000; ++i) {
    name = folder_of(path) + "/.lazyfill-" + std::to_string(getpid()) + "-" + std::to_string(i);
    const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_APPEND, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

void InputFiles::add(const std::string& path) {
  if (!path.empty()) paths_.push_back(path);
}

void InputFiles::add(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) add(path);
}

void InputFiles::add_model(const std::string& given) {
  const std::string path = likely_model_path(given);
  add(path);
  const auto split = gguf::parse_split_name(path);
  for (uint64_t number = 1; split && number <= split->count; ++number) add(split->path_of(number));
}

void InputFiles::add_presets(const std::string& given) {
  const std::string path = likely_model_path(given);
  for (const PresetKind kind : kPresetKinds) add(preset_path_beside(path, kind));
  std::error_code error;
  for (fs::directory_iterator at(user_preset_folder(), error), end; !error && at != end; at.increment(error))
    add(at->path().string());
}

std::string InputFiles::same_as(const std::string& output) const {
  FileStatus status{};
  const bool exists = output == "-" ? fstat(STDOUT_FILENO, &status) == 0 : stat(output.c_str(), &status) == 0;
  // Two names of a terminal, a pipe or /dev/null may well be input and output.
  if (!exists || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))) return {};
  for (const std::string& path : paths_) {
    const auto input = status_of(path);
    if (!input) continue;
    const bool both_named = path != "-" && output != "-";  // some network file systems make up their numbers
    if (same_inode(*input, status) || (both_named && followed(path) == followed(output))) return path;
  }
  return {};
}

bool is_same_file(const std::string& a, const std::string& b) {
  if (a == "-" || b == "-") return false;
  const auto one = status_of(a);
  const auto other = status_of(b);
  if (one && other) return same_inode(*one, *other) && (S_ISREG(one->st_mode) || S_ISBLK(one->st_mode));
  return !one && !other && followed(a) == followed(b);
}

Result<OutputFile> OutputFile::open(const std::string& path, const InputFiles& inputs) {
  if (const std::string input = inputs.same_as(path); !input.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot write " + (path == "-" ? "to standard output" : quote(path)) +
                    ": the file is read as " + (input == "-" ? "standard input" : quote(input)) +
                    "; give another name for the result");
  }
  OutputFile file;
  file.path_ = path;
  FileStatus status{};
  Result<void> ready;
  if (path == "-") {
    file.fd_ = STDOUT_FILENO;
    file.is_standard_output_ = true;
  } else if (stat(path.c_str(), &status) == 0) {
    ready = file.open_existing(status);
  } else if (errno != ENOENT || path.empty()) {
    ready = file.failure();
  } else {
    file.way_ = Way::kBeside;
    file.target_ = followed(path);
    if (!file.can_make_files()) ready = file.failure();
  }
  if (!ready) return tl::unexpected(ready.error());
  return file;
}

Result<void> OutputFile::open_existing(const FileStatus& status) {
  if (const int fd = inherited(status); fd >= 0) {
    fd_ = fd;
    is_standard_output_ = fd == STDOUT_FILENO;
    return {};
  }
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (fd_ < 0) return failure();
  is_own_ = true;
  if (!S_ISREG(status.st_mode)) return {};
  target_ = followed(path_);
  way_ = can_make_files() ? Way::kBeside : Way::kInPlace;
  return {};
}

bool OutputFile::can_make_files() const {
  std::string name;
  const int fd = create_beside(target_, name);
  if (fd < 0) return false;
  close(fd);
  return unlink(name.c_str()) == 0;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      way_(other.way_),
      fd_(std::exchange(other.fd_, -1)),
      is_own_(other.is_own_),
      is_standard_output_(other.is_standard_output_) {}

OutputFile::~OutputFile() {
  if (is_own_ && fd_ >= 0) close(fd_);
}

Result<void> OutputFile::failure() const {
  return fail(ErrorCode::kInvalidArgument, "cannot write " + quote(path_) + ": " + std::strerror(errno));
}

Result<void> OutputFile::write(std::string_view text) {
  if (way_ == Way::kBeside) return write_beside(text);
  if (way_ == Way::kInPlace && ftruncate(fd_, 0) != 0) return failure();
  way_ = Way::kAppend;
  return append(text);
}

Result<void> OutputFile::write_beside(std::string_view text) {
  std::string name;
  const int fd = create_beside(target_, name);
  if (fd < 0) return failure();
  FileStatus old{};
  if (stat(target_.c_str(), &old) == 0) {
    const bool is_owner = fchown(fd, old.st_uid, old.st_gid) == 0;
    fchmod(fd, old.st_mode & (is_owner ? 07777 : 0777));
  }
  if (!write_all(fd, text)) {
    auto failed = failure();
    close(fd);
    unlink(name.c_str());
    return failed;
  }
  if (rename(name.c_str(), target_.c_str()) == 0) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
    is_own_ = true;
    way_ = Way::kAppend;
    return {};
  }
  // A file that is mounted by itself, or another's in a folder where only owners may rename.
  auto failed = failure();
  close(fd);
  unlink(name.c_str());
  if (fd_ < 0) return failed;
  way_ = Way::kInPlace;
  return write(text);
}

Result<void> OutputFile::append(std::string_view text) const {
  FileStatus before{};
  const bool can_cut = is_own_ && fstat(fd_, &before) == 0 && S_ISREG(before.st_mode);
  if (write_all(fd_, text)) return {};
  auto failed = failure();
  // Half a result would spoil the lines before it for whoever reads them.
  if (can_cut && ftruncate(fd_, before.st_size) != 0) return failed;
  return failed;
}

}  // namespace lazyfill::cli
