#include "server/page/page.h"

#include <algorithm>
#include <array>
#include <string>

namespace lazyfill::server {
namespace {

constexpr unsigned char kPageHtml[] = {
#include <page.html.inc>
};
constexpr unsigned char kPageCss[] = {
#include <page.css.inc>
};
constexpr unsigned char kPageJs[] = {
#include <page.js.inc>
};
constexpr unsigned char kDocumentsJs[] = {
#include <documents.js.inc>
};
constexpr unsigned char kMarkdownJs[] = {
#include <markdown.js.inc>
};
constexpr unsigned char kPictureJs[] = {
#include <picture.js.inc>
};
constexpr unsigned char kStreamJs[] = {
#include <stream.js.inc>
};
#if LAZYFILL_HAS_PDF_JS
constexpr unsigned char kPdfJs[] = {
#include <pdf.js.inc>
};
constexpr unsigned char kPdfWorkerJs[] = {
#include <pdf.worker.js.inc>
};
#else
constexpr std::span<const unsigned char> kPdfJs, kPdfWorkerJs;
#endif

constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kCss = "text/css; charset=utf-8";
constexpr std::string_view kScript = "text/javascript; charset=utf-8";

struct Asset {
  std::string_view content_type;
  std::span<const unsigned char> bytes;
  bool is_gzipped = false;
};

constexpr std::array kPaths = {
    std::string_view("/"),
    std::string_view("/page/page.css"),
    std::string_view("/page/page.js"),
    std::string_view("/page/documents.js"),
    std::string_view("/page/markdown.js"),
    std::string_view("/page/picture.js"),
    std::string_view("/page/stream.js"),
    std::string_view("/page/pdf.js"),
    std::string_view("/page/pdf.worker.js"),
};
constexpr std::array<Asset, kPaths.size()> kAssets = {{
    {kHtml, kPageHtml},
    {kCss, kPageCss},
    {kScript, kPageJs},
    {kScript, kDocumentsJs},
    {kScript, kMarkdownJs},
    {kScript, kPictureJs},
    {kScript, kStreamJs},
    {kScript, kPdfJs, true},
    {kScript, kPdfWorkerJs, true},
}};

// What a document or a model says can at worst be shown: no script but ours runs, nothing is loaded from
// elsewhere, and no other page can put this one into a frame.
constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace

std::span<const std::string_view> page_paths() {
  return kPaths;
}

HttpResponse page_asset(std::string_view path) {
  const auto found = std::find(kPaths.begin(), kPaths.end(), path);
  const Asset* asset =
      found == kPaths.end() ? nullptr : &kAssets.at(static_cast<size_t>(found - kPaths.begin()));
  HttpResponse response;
  if (asset == nullptr || asset->bytes.empty()) {
    response.status = 404;
    response.body =
        R"({"error":{"message":"the page has no such file","type":"not_found_error","param":null,"code":null}})";
    return response;
  }
  response.content_type = asset->content_type;
  response.body.assign(asset->bytes.begin(), asset->bytes.end());
  response.headers = {{"Content-Security-Policy", kContentSecurityPolicy},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Resource-Policy", "same-origin"},
                      // Another version of the program may listen here tomorrow.
                      {"Cache-Control", asset->is_gzipped ? "private, max-age=3600" : "no-cache"}};
  // Only browsers ask for these two, and all of them unpack.
  if (asset->is_gzipped) response.headers.push_back({"Content-Encoding", "gzip"});
  return response;
}

}  // namespace lazyfill::server
