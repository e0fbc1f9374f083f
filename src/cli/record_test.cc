#include "cli/record.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace lazyfill::cli {
namespace {

Generation lazy_generation() {
  Generation generation;
  generation.prompt_token_ids = {1, 2, 3, 4};
  generation.token_ids = {5, 6, 7};
  generation.text = "ab";
  generation.finish_reason = FinishReason::kStop;
  generation.top_logprobs = {{{5, -0.5F}, {6, -1.5F}}, {}, {}};
  generation.timings = {.ttft_ms = 50, .prefill_ms = 40, .decode_ms = 20, .total_ms = 70};
  generation.lazy_used = true;
  generation.lazy = {.schedule = {{.layer = 3, .keep = 0.5}, {.layer = 5, .keep = 1, .keep_tokens = 1}},
                     .kept = {{1, 3}, {3}},
                     .computed_fraction = {1, 0.5},
                     .revived_rows = 2,
                     .computed_by_step = {{2, 1}, {1, 1}}};
  return generation;
}

std::string content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Record, HoldsEveryField) {
  const auto record = make_record(lazy_generation(), 12);
  EXPECT_EQ(record["version"], 1);
  EXPECT_EQ(record["prompt_tokens"], 4);
  EXPECT_EQ(record["finish_reason"], "stop");
  EXPECT_EQ(record["top_logprobs"][0][1]["id"], 6);
  EXPECT_DOUBLE_EQ(record["timings"]["prefill_tokens_per_s"], 100);
  EXPECT_DOUBLE_EQ(record["timings"]["decode_tokens_per_s"], 100);  // two tokens after the first, in 20 ms
  EXPECT_DOUBLE_EQ(record["timings"]["load_ms"], 12);
  EXPECT_EQ(record["lazy"]["schedule"].dump(), R"([{"layer":3,"keep":0.5},{"layer":5,"keep_tokens":1}])");
  EXPECT_EQ(record["lazy"]["kept"][1].dump(), R"({"layer":5,"positions":[3]})");
  EXPECT_EQ(record["lazy"]["revived_rows"], 2);
  EXPECT_EQ(record["lazy"]["computed_by_step"].dump(), "[[2,1],[1,1]]");
  EXPECT_GT(record["memory"]["peak_rss_bytes"].get<uint64_t>(), 1'000'000U);
}

TEST(Record, LazyIsNullAfterADensePrefill) {
  EXPECT_TRUE(make_record(Generation(), 0)["lazy"].is_null());
}

TEST(Record, IsOneLineOfValidJsonWhateverTheText) {
  Generation generation = lazy_generation();
  generation.text = "a\n\"\xFF";
  const std::string line = json_line(make_record(generation, 0));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(nlohmann::json::parse(line)["text"], "a\n\"\uFFFD");
}

TEST(OutputFile, KeepsWhatWasThereUntilTheFirstWrite) {
  const std::string path = testing::TempDir() + "cli_output_file.txt";
  std::ofstream(path) << "something long from before";
  { ASSERT_TRUE(OutputFile::open(path)); }
  EXPECT_EQ(content(path), "something long from before");
  {
    auto file = OutputFile::open(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("one\n"));
    EXPECT_EQ(content(path), "one\n");  // already there
    ASSERT_TRUE(file->write("two\n"));
  }
  EXPECT_EQ(content(path), "one\ntwo\n");
  std::remove(path.c_str());
}

TEST(OutputFile, LeavesNoEmptyFileBehind) {
  const std::string path = testing::TempDir() + "cli_output_new.txt";
  { ASSERT_TRUE(OutputFile::open(path)); }
  struct stat info {};
  EXPECT_NE(stat(path.c_str(), &info), 0);
}

TEST(OutputFile, AFolderThatIsNotThereIsAnError) {
  const auto file = OutputFile::open(testing::TempDir() + "no/such/folder/x.json");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("No such file"), std::string::npos);
}

TEST(Record, LinesHoldNoControlCharacters) {
  const nlohmann::ordered_json value = {{"name", "a\x1B[2J\x7F\u009b31m\u00e9\n"}};
  const std::string line = json_line(value);
  EXPECT_EQ(line, "{\"name\":\"a\\u001b[2J\\u007f\\u009b31m\u00e9\\n\"}\n");
  EXPECT_EQ(nlohmann::ordered_json::parse(line), value);
}

}  // namespace
}  // namespace lazyfill::cli
