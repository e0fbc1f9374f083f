#include "base/buffer.h"

#include <sys/mman.h>

#include <new>

namespace lazyfill {

RawBuffer::RawBuffer(size_t n_bytes) {
  if (n_bytes == 0) return;
  // Anonymous pages are zero, aligned and come only when touched; malloc promises none of the three.
  void* pages =
      mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(pages);
  size_ = n_bytes;
}

void RawBuffer::use_huge_pages() {
  if (data_ != nullptr) (void)madvise(data_, size_, MADV_HUGEPAGE);  // a wish: without it all works the same
}

RawBuffer::~RawBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace lazyfill
