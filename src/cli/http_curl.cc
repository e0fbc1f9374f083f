#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "cli/flags.h"
#include "cli/http.h"

namespace lazyfill::cli {
namespace {

constexpr int kMostRedirections = 8;
constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 60;  // no byte for so long: the connection is dead

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using Headers = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

struct Transfer {
  const HttpRequest& request;
  CURL* curl;
  HttpReply reply;

  long status() const {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
};

size_t take_body(char* bytes, size_t /*one*/, size_t n, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const long status = transfer.status();
  if (status != 200 && status != 206) return n;  // the page of an error
  transfer.reply.taken = transfer.request.take(status, {bytes, n});
  return transfer.reply.taken ? n : CURL_WRITEFUNC_ERROR;
}

size_t take_header(char* bytes, size_t /*one*/, size_t n, void* user) {
  auto& reply = static_cast<Transfer*>(user)->reply;
  std::string_view line(bytes, n);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return n;
  const std::string_view name = line.substr(0, colon);
  line.remove_prefix(colon + 1);
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())) != 0) line.remove_prefix(1);
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.remove_suffix(1);
  if (same_letters(name, "link")) reply.next_page = next_link(line);
  if (same_letters(name, "x-error-code")) reply.error_code = line;
  if (same_letters(name, "retry-after")) reply.wait_s = parse_count(line).value_or(0);
  return n;
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
      return false;
    default:
      return true;
  }
}

// One request, without what it may redirect to; `next` becomes that address.
HttpReply get_once(const HttpRequest& request, const std::string& url, const std::string& bearer,
                   std::string& next) {
  const Easy easy(curl_easy_init(), curl_easy_cleanup);
  if (!easy) return {.problem = "libcurl could not be started"};
  CURL* curl = easy.get();
  Transfer transfer{request, curl, {}};
  Headers headers(nullptr, curl_slist_free_all);
  if (!bearer.empty()) headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + bearer).c_str()));
  char reason[CURL_ERROR_SIZE] = {};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);  // by hand, so that a token never goes along
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));  // no token for a proxy
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "lazyfill");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  const std::string range = std::to_string(request.offset) + "-";
  if (request.offset > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  const CURLcode code = curl_easy_perform(curl);
  transfer.reply.status = transfer.status();
  if (code != CURLE_OK) {
    transfer.reply.problem = reason[0] != '\0' ? reason : curl_easy_strerror(code);
    transfer.reply.may_pass = may_pass(code);
  }
  const char* location = nullptr;
  curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
  next = location == nullptr ? "" : location;
  return transfer.reply;
}

}  // namespace

HttpReply http_get(const HttpRequest& request) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) return {.problem = "libcurl could not be started"};
  std::string url = request.url;
  for (int i = 0; i <= kMostRedirections; ++i) {
    std::string next;
    const bool is_own = origin_of(url) == origin_of(request.url);
    HttpReply reply = get_once(request, url, is_own ? request.bearer : "", next);
    reply.is_elsewhere = !is_own;
    if (!reply.problem.empty() || next.empty()) return reply;
    const std::string scheme = next.substr(0, next.find(':'));
    if (scheme != "https" && (scheme != "http" || url.starts_with("https:")))
      return {.problem = "it redirects to an address that is not safe to follow"};
    url = next;
  }
  return {.problem = "it redirects in a circle"};
}

}  // namespace lazyfill::cli
