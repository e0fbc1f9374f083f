#include "gguf/cursor.h"

namespace lazyfill::gguf {

tl::unexpected<Error> Cursor::error(std::string_view message, ErrorCode code) const {
  return fail(code, std::string(path_).append(": ").append(message));
}

tl::unexpected<Error> Cursor::ends_inside(std::string_view what) const {
  return error(std::string("the file ends inside ").append(what).append("; it is damaged or not complete"));
}

Result<std::span<const std::byte>> Cursor::read_bytes(uint64_t n, std::string_view what) {
  if (n > remaining()) return ends_inside(what);
  const auto bytes = bytes_.subspan(position_, n);
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
