#include "server/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace lazyfill::server {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string header(const HttpResponse& response, std::string_view name) {
  for (const Header& one : response.headers)
    if (one.name == name) return one.value;
  return {};
}

// The source beside this test that is served at `path`.
std::string source(std::string_view path) {
  std::ifstream file(LAZYFILL_PAGE_DIR + std::string(path == "/" ? "/page.html" : path.substr(5)),
                     std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Page, EveryFileIsServedAsItIsWritten) {
  for (const std::string_view path : page_paths()) {
    if (path.starts_with("/page/pdf.")) continue;
    const HttpResponse response = page_asset(path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_FALSE(source(path).empty()) << path;
    EXPECT_EQ(response.body, source(path)) << path;
  }
}

TEST(Page, PdfJsIsServedWholeOrNotAtAll) {
  for (const std::string_view path : {"/page/pdf.js", "/page/pdf.worker.js"}) {
    const HttpResponse response = page_asset(path);
    if (page_asset("/page/pdf.js").status == 404) {
      EXPECT_EQ(response.status, 404) << path;
      continue;
    }
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(header(response, "Content-Encoding"), "gzip");
    EXPECT_EQ(response.body.substr(0, 2), "\x1f\x8b");
    EXPECT_GT(response.body.size(), 50'000U);
  }
}

TEST(Page, TypesAreThoseThatBrowsersInsistOn) {
  EXPECT_EQ(page_asset("/").content_type, "text/html; charset=utf-8");
  EXPECT_EQ(page_asset("/page/page.css").content_type, "text/css; charset=utf-8");
  EXPECT_EQ(page_asset("/page/page.js").content_type, "text/javascript; charset=utf-8");
}

TEST(Page, PolicyAllowsNoScriptButOurOwn) {
  for (const std::string_view path : page_paths()) {
    const HttpResponse response = page_asset(path);
    if (response.status != 200) continue;
    const std::string policy = header(response, "Content-Security-Policy");
    EXPECT_THAT(policy, HasSubstr("default-src 'none'")) << path;
    EXPECT_THAT(policy, HasSubstr("script-src 'self';")) << path;
    EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'")) << path;
    EXPECT_THAT(policy, Not(HasSubstr("unsafe"))) << path;
    EXPECT_FALSE(header(response, "Cache-Control").empty()) << path;
  }
}

TEST(Page, SourcesNeverMakeMarkupOfText) {
  for (const std::string_view path : page_paths()) {
    if (path.starts_with("/page/pdf.")) continue;
    for (const char* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("})
      EXPECT_THAT(page_asset(path).body, Not(HasSubstr(word))) << path;
  }
}

TEST(Page, OtherPathsAreNotThere) {
  for (const char* path :
       {"", "/page", "/page/", "/page/page.html", "/page/../page/page.css", "/page/pdf.js.map"})
    EXPECT_EQ(page_asset(path).status, 404) << path;
}

}  // namespace
}  // namespace lazyfill::server
