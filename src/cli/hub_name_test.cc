#include "cli/hub_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/http.h"

namespace lazyfill::cli {
namespace {

std::vector<HubFile> files(const std::vector<std::string>& paths) {
  std::vector<HubFile> list;
  for (const std::string& path : paths) list.push_back({.path = path});
  return list;
}

std::string chosen(const std::string& name, const std::vector<std::string>& paths) {
  const auto found = choose_files(*parse_hub_name(name), files(paths));
  return found ? found->front().path : "error: " + found.error().message;
}

TEST(HubName, HasItsParts) {
  const auto name = parse_hub_name("hf:Some-one/A_model.v2-GGUF:Q4_K_M");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->repository(), "Some-one/A_model.v2-GGUF");
  EXPECT_EQ(name->quant, "Q4_K_M");
  EXPECT_EQ(parse_hub_name("a/b")->quant, "");
}

TEST(HubName, RefusesWhatIsNoPlainName) {
  for (const char* name :
       {"", "hf:", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a/b?x", "a b/c",
        "a/b:", "a/b:../../c.gguf", "a/b:/etc/c.gguf", "a/b\n", "https://a/b", "a/b%2e", "-a/b"})
    EXPECT_FALSE(parse_hub_name(name)) << name;
}

TEST(HubName, PathsOfStrangersStayBelowTheFolder) {
  for (const char* path : {"m.gguf", "Q4/m-00001-of-00002.gguf", "M \xC3\xA4.gguf"})
    EXPECT_TRUE(is_safe_path(path));
  for (const char* path : {"", "/m.gguf", "../m.gguf", "a/../m.gguf", "a//m.gguf", ".m.gguf", "a/.git/m.gguf",
                           "a\\m.gguf", "m\n.gguf", "a/", "\xFF.gguf", "a/b/c/d/e/f/g/h/i.gguf"})
    EXPECT_FALSE(is_safe_path(path)) << path;
}

TEST(HubName, AQuantisationIsAWord) {
  EXPECT_TRUE(has_quant("m-q4_k_m.gguf", "Q4_K_M"));
  EXPECT_TRUE(has_quant("m.Q8_0.gguf", "q8_0"));
  EXPECT_TRUE(has_quant("Q4_K_M/m-00001-of-00002.gguf", "Q4_K_M"));
  EXPECT_FALSE(has_quant("m-Q4_K_M.gguf", "Q4_K"));
  EXPECT_FALSE(has_quant("m-IQ4_NL.gguf", "Q4_NL"));
  EXPECT_FALSE(has_quant("m-BF16.gguf", "F16"));
}

TEST(HubName, ChoosesWhatIsMeant) {
  const std::vector<std::string> all = {"README.md", "m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf",
                                        "mmproj-Q8_0.gguf"};
  EXPECT_EQ(chosen("a/b", all), "m-Q4_K_M.gguf");
  EXPECT_EQ(chosen("a/b:q8_0", all), "m-Q8_0.gguf");
  EXPECT_EQ(chosen("a/b:m-Q2_K.gguf", all), "m-Q2_K.gguf");
  EXPECT_EQ(chosen("a/b", {"only-Q3_K.gguf"}), "only-Q3_K.gguf");
  EXPECT_THAT(chosen("a/b:Q5_0", all),
              ::testing::HasSubstr("it has m-Q2_K.gguf, m-Q4_K_M.gguf, m-Q8_0.gguf"));
  EXPECT_THAT(chosen("a/b", {"x.gguf", "y.gguf"}), ::testing::HasSubstr("may be several files"));
  EXPECT_THAT(chosen("a/b", {"README.md"}), ::testing::HasSubstr("no whole model"));
}

TEST(HubName, ASplitModelIsAllItsParts) {
  const std::string part[] = {"Q8/m-00001-of-00002.gguf", "Q8/m-00002-of-00002.gguf"};
  const auto found = choose_files(*parse_hub_name("a/b:Q8"), files({part[1], "m-Q2_K.gguf", part[0]}));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].path, part[0]);
  EXPECT_EQ((*found)[1].path, part[1]);
  EXPECT_THAT(chosen("a/b", {part[0]}), ::testing::HasSubstr("no whole model"));
  EXPECT_THAT(chosen("a/b", {"m-00001-of-99999.gguf"}), ::testing::HasSubstr("no whole model"));
}

TEST(HubAddress, OriginIsAllThatDecidesOnAToken) {
  EXPECT_EQ(origin_of("https://Hub.example:81/a/b"), "https://hub.example:81");
  EXPECT_NE(origin_of("https://hub.example/a"), origin_of("http://hub.example/a"));
  EXPECT_NE(origin_of("https://hub.example@evil.example/a"), origin_of("https://hub.example/a"));
  EXPECT_NE(origin_of("http://127.0.0.1:1/"), origin_of("http://127.0.0.1:2/"));
}

TEST(HubAddress, NextPage) {
  EXPECT_EQ(next_link("<http://a/1>; rel=\"prev\", <http://a/2>; rel=\"next\""), "http://a/2");
  EXPECT_EQ(next_link("<http://a/1"), "");
  EXPECT_EQ(next_link(""), "");
}

}  // namespace
}  // namespace lazyfill::cli
