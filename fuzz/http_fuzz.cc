// Reads whatever bytes libFuzzer thinks of as the requests of one connection, at once and in pieces: how
// bytes happen to be cut on their way must not change what they say. The first byte is the size of the
// pieces.
//   build/fuzz/bin/http_fuzz -dict=fuzz/http.dict -max_len=512 -max_total_time=60 CORPUS fuzz/corpus/http
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/request_body.h"
#include "server/http/request_head.h"

namespace {

using namespace lazyfill::server;

constexpr size_t kMaxBody = 300;

void must(bool condition) {
  if (!condition) __builtin_trap();
}

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
}

void check(const RequestHead& head) {
  const HttpRequest& request = head.request;
  must(request.path == "*" || request.path.starts_with('/'));
  must(is_plain(request.path) && is_plain(request.query) && request.query.find(' ') == std::string::npos);
  for (const Header& header : request.headers)
    must(!header.name.empty() && is_plain(header.name) && is_plain(header.value));
  const bool has_length = request.header("Content-Length") != nullptr;
  must(head.is_chunked == (request.header("Transfer-Encoding") != nullptr) &&
       !(head.is_chunked && (has_length || head.is_http10)));
  must(has_length || head.content_length == 0);
  must(head.is_http10 || request.header("Host"));
}

// The requests that a connection has understood, as one text, which ends where it refuses or waits for more.
class Reader {
 public:
  void add(std::string_view bytes) {
    in_ += bytes;
    while (!is_refused_ && (body_ ? read_body() : read_head())) {
    }
  }
  const std::string& text() const { return text_; }

 private:
  bool refuse(const Refusal& refusal) {
    must(refusal.status >= 400 && refusal.status <= 505);
    text_ += "refused " + std::to_string(refusal.status);
    is_refused_ = true;
    return false;
  }

  bool read_head() {
    const auto found = scanner_.scan(in_);
    if (!found) return refuse(found.error());
    if (!*found) return false;
    must(**found <= in_.size());
    const auto head = parse_head(std::string_view(in_).substr(0, **found), 20);
    in_.erase(0, **found);
    scanner_.reset();
    if (!head) return refuse(head.error());
    check(*head);
    text_ += head->request.method + ' ' + head->request.path + '\n';
    body_.emplace(head->is_chunked, head->content_length, kMaxBody);
    return true;
  }

  bool read_body() {
    const auto n_taken = body_->take(in_);
    if (!n_taken) return refuse(n_taken.error());
    must(*n_taken <= in_.size() && body_->body().size() <= kMaxBody);
    in_.erase(0, *n_taken);
    if (!body_->is_done()) {
      must(in_.empty());
      return false;
    }
    text_ += body_->body() + '\n';
    body_.reset();
    return true;
  }

  std::string in_;
  HeadScanner scanner_;
  std::optional<BodyReader> body_;
  std::string text_;
  bool is_refused_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t n_piece = std::max<size_t>(data[0], 1);
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  Reader whole;
  whole.add(input);
  Reader pieces;
  for (size_t i = 0; i < input.size(); i += n_piece) pieces.add(input.substr(i, n_piece));
  must(whole.text() == pieces.text());
  return 0;
}
