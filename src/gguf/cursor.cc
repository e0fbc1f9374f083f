#include "gguf/cursor.h"

namespace lazyfill::gguf {
namespace {

constexpr uint64_t kWindowBytes = uint64_t{1} << 18;

}  // namespace

tl::unexpected<Error> Cursor::error(std::string_view message, ErrorCode code) const {
  return fail(code, std::string(file_.path()).append(": ").append(message));
}

tl::unexpected<Error> Cursor::ends_inside(std::string_view what) const {
  if (size() > kMaxHeaderBytes) {
    return error(std::string(what).append(" lies beyond the first ") + std::to_string(kMaxHeaderBytes >> 20) +
                 " MiB, which is more than any model needs before its tensors");
  }
  return error(std::string("the file ends inside ").append(what).append("; it is damaged or not complete"));
}

Result<void> Cursor::fetch(uint64_t n) {
  const uint64_t window_end = window_begin_ + window_.size();
  if (position_ >= window_begin_ && n <= window_end - std::min(position_, window_end)) return {};
  window_.resize(std::min(std::max(n, kWindowBytes), size() - position_));
  window_begin_ = position_;
  return file_.read_at(position_, window_);
}

Result<std::span<const std::byte>> Cursor::read_bytes(uint64_t n, std::string_view what) {
  if (n > remaining()) return ends_inside(what);
  if (const auto fetched = fetch(n); !fetched) return tl::unexpected(fetched.error());
  const auto bytes = std::span<const std::byte>(window_).subspan(position_ - window_begin_, n);
  position_ += n;
  return bytes;
}

Result<std::string_view> Cursor::read_string(std::string_view what) {
  const auto n = read<uint64_t>(what);
  if (!n) return tl::unexpected(n.error());
  const auto bytes = read_bytes(*n, what);
  if (!bytes) return tl::unexpected(bytes.error());
  return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

Result<uint64_t> Cursor::read_count(uint64_t min_bytes, std::string_view what) {
  const auto n = read<uint64_t>(what);
  if (!n) return tl::unexpected(n.error());
  if (*n > remaining() / min_bytes) {
    return error(std::string(what).append(" is ").append(std::to_string(*n)) +
                 ", more than the rest of the file could hold; it is damaged or not complete");
  }
  return *n;
}

}  // namespace lazyfill::gguf
