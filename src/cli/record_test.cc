#include "cli/record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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

TEST(Record, LinesHoldNoControlCharacters) {
  const nlohmann::ordered_json value = {{"name", "a\x1B[2J\x7F\u009b31m\u00e9\n"}};
  const std::string line = json_line(value);
  EXPECT_EQ(line, "{\"name\":\"a\\u001b[2J\\u007f\\u009b31m\u00e9\\n\"}\n");
  EXPECT_EQ(nlohmann::ordered_json::parse(line), value);
}

}  // namespace
}  // namespace lazyfill::cli
