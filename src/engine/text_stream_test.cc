#include "engine/text_stream.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

// Every token is one byte.
class ByteTokenizer : public Tokenizer {
 public:
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions) const override {
    return std::vector<int32_t>(text.begin(), text.end());
  }
  std::string piece(int32_t id, bool) const override { return std::string(1, static_cast<char>(id)); }
  std::string decode(const std::vector<int32_t>& ids, bool) const override {
    return {ids.begin(), ids.end()};
  }
  size_t n_tokens() const override { return 256; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  bool is_end(int32_t) const override { return false; }
  std::string_view kind() const override { return "bytes"; }
};

struct Shown {
  std::string text;                // all together
  std::vector<std::string> steps;  // what each token made visible
  bool stopped;
};

Shown stream(const std::string& bytes, std::vector<std::string> stop_texts) {
  const ByteTokenizer tokenizer;
  TextStream text(tokenizer, std::move(stop_texts));
  Shown shown{};
  for (char byte : bytes) {
    if (text.stopped()) break;
    shown.steps.push_back(text.push(static_cast<unsigned char>(byte)));
    shown.text += shown.steps.back();
  }
  shown.text += text.finish();
  shown.stopped = text.stopped();
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
  EXPECT_EQ(stream("one two three", {"three", "two"}).text, "one ");
}

TEST(TextStream, RepeatedBeginningsAreNotMissed) {
  EXPECT_EQ(stream("xaaab", {"aab"}).text, "xa");
}

TEST(TextStream, EmptyStopTextsAreIgnored) {
  EXPECT_EQ(stream("abc", {""}).text, "abc");
}

TEST(TextStream, CharactersStayWhole) {
  const Shown shown = stream("\xC3\xA9", {});  // é in two bytes
  EXPECT_EQ(shown.steps, (std::vector<std::string>{"", "\xC3\xA9"}));
}

}  // namespace
}  // namespace lazyfill
