#include "engine/text_stream.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

constexpr const char* kNames[] = {"<|end|>", "<|b|>"};

// Every token is one byte, and from 256 on control tokens.
class ByteTokenizer : public Tokenizer {
 public:
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions) const override {
    return std::vector<int32_t>(text.begin(), text.end());
  }
  std::string piece(int32_t id, bool with_special) const override {
    if (id < 256) return std::string(1, static_cast<char>(id));
    return with_special ? kNames[id - 256] : "";
  }
  std::string decode(const std::vector<int32_t>& ids, bool) const override {
    return {ids.begin(), ids.end()};
  }
  size_t n_tokens() const override { return 256 + std::size(kNames); }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  bool is_end(int32_t) const override { return false; }
  std::string_view kind() const override { return "bytes"; }
};

struct Shown {
  std::string text;  // all together
  std::string plain;
  std::vector<std::string> steps;  // what each token made visible
  bool stopped;
  std::string stop_text;
};

// In `text`, \x01 and \x02 stand for the two control tokens.
Shown stream(const std::string& text, std::vector<std::string> stop_texts, bool show_special = false) {
  const ByteTokenizer tokenizer;
  TextStream stream(tokenizer, std::move(stop_texts), show_special);
  Shown shown{};
  for (char byte : text) {
    if (stream.stopped()) break;
    const auto id = static_cast<unsigned char>(byte);
    shown.steps.push_back(stream.push(id == 1 || id == 2 ? 255 + id : id));
    shown.text += shown.steps.back();
  }
  shown.text += stream.finish();
  shown.plain = stream.plain();
  shown.stopped = stream.stopped();
  shown.stop_text = stream.stop_text();
  return shown;
}

TEST(TextStream, WithoutStopTextsEverythingShowsAtOnce) {
  const Shown shown = stream("abc", {});
  EXPECT_EQ(shown.steps, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_FALSE(shown.stopped);
}

TEST(TextStream, EndsBeforeTheStopText) {
  const Shown shown = stream("hello END world", {"END"});
  EXPECT_EQ(shown.text, "hello ");
  EXPECT_TRUE(shown.stopped);
}

TEST(TextStream, HoldsBackWhatMayBecomeAStopText) {
  const Shown shown = stream("aENxb", {"END"});
  EXPECT_EQ(shown.steps, (std::vector<std::string>{"a", "", "", "ENx", "b"}));
  EXPECT_EQ(shown.text, "aENxb");
}

TEST(TextStream, ShowsWhatWasHeldWhenItEnds) {
  EXPECT_EQ(stream("aEN", {"END"}).text, "aEN");
}

TEST(TextStream, TheEarliestOfSeveralWins) {
  const Shown shown = stream("one two three", {"three", "two"});
  EXPECT_EQ(shown.text, "one ");
  EXPECT_EQ(shown.stop_text, "two");
  EXPECT_EQ(stream("one", {"three", "two"}).stop_text, "");
}

TEST(TextStream, RepeatedBeginningsAreNotMissed) {
  EXPECT_EQ(stream("xaaab", {"aab"}).text, "xa");
}

TEST(TextStream, EmptyStopTextsAreIgnored) {
  EXPECT_EQ(stream("abc", {""}).text, "abc");
}

TEST(TextStream, ControlTokensShowOnlyWhereAsked) {
  EXPECT_EQ(stream("a\x01z\x02", {}).text, "az");
  const Shown shown = stream("a\x01z\x02", {}, true);
  EXPECT_EQ(shown.steps, (std::vector<std::string>{"a", "<|end|>", "z", "<|b|>"}));
  EXPECT_EQ(shown.plain, "az");
}

TEST(TextStream, StopTextsNameControlTokens) {
  for (const bool show : {false, true}) {
    const Shown shown = stream("ab\x01z", {"<|end|>"}, show);
    EXPECT_EQ(shown.text, "ab");
    EXPECT_EQ(shown.steps.size(), 3U);
    EXPECT_TRUE(shown.stopped);
  }
  EXPECT_EQ(stream("a\x02"
                   "b\x01z",
                   {"<|end|>"})
                .text,
            "ab");
  EXPECT_EQ(stream("a\x02"
                   "b\x01z",
                   {"<|end|>"}, true)
                .text,
            "a<|b|>b");
}

TEST(TextStream, StopTextsMayHoldNamesAndText) {
  EXPECT_EQ(stream("one\n\x01two", {"\n<|end|>"}).text, "one");
  EXPECT_EQ(stream("one\x01\ntwo", {"<|end|>\n"}).text, "one");
  EXPECT_EQ(stream("one\x01two", {"<|end|>\n"}).text, "onetwo");  // held back, and then not it
  EXPECT_EQ(stream("one\x01two", {"<|end|>\n"}, true).text, "one<|end|>two");
  EXPECT_EQ(stream("one\x01", {"<|end|>\n"}, true).text, "one<|end|>");
  EXPECT_EQ(stream("one\x01\x02two", {"<|end|><|b|>"}).text, "one");
}

TEST(TextStream, PartsOfANameAreNotIt) {
  for (const bool show : {false, true}) {
    for (const char* stop : {"<", "<|", "end", "|>", ">t", "e<|", "|end|>t"})
      EXPECT_FALSE(stream("one\x01two", {stop}, show).stopped) << stop;
  }
}

TEST(TextStream, StopTextsAreFoundAcrossWhatIsNotShown) {
  EXPECT_EQ(stream("aE\x01NDz", {"END"}).text, "a");
  EXPECT_EQ(stream("aE\x01NDz", {"END"}, true).text, "a");
  EXPECT_EQ(stream("a<|end|>z", {"<|end|>"}).text, "a");  // spelled as text
}

TEST(TextStream, CharactersStayWhole) {
  const Shown shown = stream("\xC3\xA9", {});  // é in two bytes
  EXPECT_EQ(shown.steps, (std::vector<std::string>{"", "\xC3\xA9"}));
}

}  // namespace
}  // namespace lazyfill
