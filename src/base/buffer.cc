#include "base/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <new>

namespace lazyfill {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kRegion = size_t{64} << 20;  // address space: memory comes as it is written
constexpr size_t kAlignment = 64;

constexpr size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

// Anonymous pages are zero, aligned and come only when touched; malloc promises none of the three.
std::byte* map(size_t n_bytes) {
  void* pages =
      mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(pages);
}

// Address space from a border of huge pages on, handed out from its begin to its end and given back as a
// whole.
class Region {
 public:
  explicit Region(size_t n_bytes)
      : mapped_(map(n_bytes + kHugePage)), n_mapped_(n_bytes + kHugePage), n_bytes_(n_bytes) {
    void* aligned = mapped_;
    size_t space = n_mapped_;
    begin_ = static_cast<std::byte*>(std::align(kHugePage, n_bytes, aligned, space));
    (void)madvise(begin_, n_bytes, MADV_HUGEPAGE);  // a wish: without it all works the same
  }
  ~Region() { munmap(mapped_, n_mapped_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Null: there is no room.
  std::byte* take(size_t n_bytes) {
    if (n_bytes > n_bytes_ - used_) return nullptr;
    std::byte* taken = begin_ + used_;
    used_ = std::min(n_bytes_, round_up(used_ + n_bytes, kAlignment));
    return taken;
  }

 private:
  std::byte* mapped_;
  size_t n_mapped_;
  size_t n_bytes_;
  std::byte* begin_ = nullptr;
  size_t used_ = 0;
};

}  // namespace

RawBuffer::RawBuffer(size_t n_bytes) {
  if (n_bytes == 0) return;
  data_ = map(n_bytes);
  size_ = n_bytes;
}

RawBuffer RawBuffer::in_huge_pages(size_t n_bytes) {
  static std::mutex mutex;
  static std::weak_ptr<Region> newest;  // lives as long as a buffer in it
  RawBuffer buffer;
  if (n_bytes == 0) return buffer;
  if (n_bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();
  const std::lock_guard lock(mutex);
  std::shared_ptr<Region> region = newest.lock();
  std::byte* data = region == nullptr ? nullptr : region->take(n_bytes);
  if (data == nullptr) {
    region = std::make_shared<Region>(std::max(kRegion, round_up(n_bytes, kHugePage)));
    data = region->take(n_bytes);
    newest = region;
  }
  buffer.data_ = data;
  buffer.size_ = n_bytes;
  buffer.region_ = std::move(region);
  return buffer;
}

RawBuffer::~RawBuffer() {
  if (data_ != nullptr && region_ == nullptr) munmap(data_, size_);
}

}  // namespace lazyfill
