// A fixed-size array of trivially copyable elements, 64-byte aligned, page-backed when large: memory that is
// reserved but never written costs nothing, which lets a cache reserve its whole capacity up front.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace lazyfill {

// Untyped pages; `allocate` throws std::bad_alloc.
class RawBuffer {
 public:
  RawBuffer() = default;
  explicit RawBuffer(size_t n_bytes);
  ~RawBuffer();
  RawBuffer(RawBuffer&& other) noexcept { swap(other); }
  RawBuffer& operator=(RawBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  RawBuffer(const RawBuffer&) = delete;
  RawBuffer& operator=(const RawBuffer&) = delete;

  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_; }

  // In pages of 2 MiB where the system has them: for what will be filled to its end and read over and over.
  // They come with a fifth of the cost of as many small ones, and need fewer look-ups afterwards. Such
  // buffers lie one behind the other in regions that they share: most matrices are smaller than such a page,
  // and a page comes whole only where all of it may be written. Any thread may call it.
  static RawBuffer in_huge_pages(size_t n_bytes);

 private:
  void swap(RawBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(region_, other.region_);
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<void> region_;  // null: the pages are this buffer's own
};

// Contents start at zero.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(size_t n) : raw_(n * sizeof(T)), size_(n) {}

  // Grows to at least n elements; the old contents are lost, so it suits scratch space only.
  void ensure(size_t n) {
    if (n > size_) *this = Buffer(n);
  }

  static Buffer in_huge_pages(size_t n) {
    Buffer buffer;
    buffer.raw_ = RawBuffer::in_huge_pages(n * sizeof(T));
    buffer.size_ = n;
    return buffer;
  }

  T* data() { return reinterpret_cast<T*>(raw_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(raw_.data()); }
  size_t size() const { return size_; }
  size_t size_bytes() const { return size_ * sizeof(T); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }

 private:
  RawBuffer raw_;
  size_t size_ = 0;
};

}  // namespace lazyfill
