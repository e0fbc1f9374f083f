#include "cli/question_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <deque>
#include <fstream>

namespace lazyfill::cli {
namespace {

struct Typed {
  std::vector<std::string> lines;
  std::string rest;
  std::string shown;
  bool ended = false;
};

Typed type(const std::string& bytes) {
  Typed typed;
  TypedLine line;
  for (const char byte : bytes) {
    std::string echo;
    const auto after = line.take(byte, echo);
    typed.shown += echo;
    if (after == TypedLine::After::kLine) typed.lines.push_back(line.take_line());
    if (after == TypedLine::After::kEnd) typed.ended = true;
  }
  typed.rest = line.take_line();
  return typed;
}

TEST(TypedLine, AReturnEndsALineOfAnyLength) {
  const std::string text(100'000, 'x');
  EXPECT_EQ(type(text + "\rsecond\n").lines, (std::vector<std::string>{text, "second"}));
}

TEST(TypedLine, CharactersAreErasedWhole) {
  EXPECT_EQ(type("a\u00E9\x7F"
                 "b\r")
                .lines[0],
            "ab");
  EXPECT_EQ(type("a\U0001F600\b\x7F\x7F"
                 "c\r")
                .lines[0],
            "c");
  EXPECT_EQ(type("wrong\x15right\r").lines[0], "right");
  EXPECT_EQ(type("ab\x7F").shown, "ab\b \b");
}

TEST(TypedLine, TheEndIsThatOfAnEmptyLine) {
  EXPECT_TRUE(type("\x04").ended);
  EXPECT_FALSE(type("a\x04").ended);
}

TEST(TypedLine, APasteOfSeveralLinesIsOneText) {
  const Typed typed = type("\033[200~one\rtwo\nthree\r\033[201~\r");
  EXPECT_EQ(typed.lines, std::vector<std::string>{"one\ntwo\nthree"});
}

TEST(TypedLine, OtherEscapeSequencesMeanNothing) {
  EXPECT_EQ(type("a\033[A\033[3~\033OHb\033x\r").lines[0], "ab");
}

class Given : public QuestionReader {
 public:
  explicit Given(std::deque<std::string> lines) : lines_(std::move(lines)) {}
  std::optional<std::string> next(const std::string& /*prompt*/) override {
    if (lines_.empty()) return std::nullopt;
    std::string line = lines_.front();
    lines_.pop_front();
    return line;
  }
  void remember(const std::string& text) override { remembered.push_back(text); }
  std::vector<std::string> remembered;

 private:
  std::deque<std::string> lines_;
};

TEST(ReadQuestion, SeveralLinesAreOneQuestionAtATerminal) {
  Given quoted({"\"\"\"one", "two\"\"\"", "next"});
  EXPECT_EQ(read_question(quoted, true), "one\ntwo");
  EXPECT_EQ(read_question(quoted, true), "next");
  EXPECT_EQ(read_question(quoted, true), std::nullopt);
  EXPECT_EQ(quoted.remembered, (std::vector<std::string>{"one\ntwo", "next"}));
  Given block({"\"\"\"", "one", "", "\"\"\""});
  EXPECT_EQ(read_question(block, true), "one");
  Given slashes({"one\\", "two\\", "three"});
  EXPECT_EQ(read_question(slashes, true), "one\ntwo\nthree");
  Given piped({"one\\", "two"});
  EXPECT_EQ(read_question(piped, false), "one\\");
}

TEST(History, OutlivesTheProgramAndKeepsLinesTogether) {
  const std::string folder = testing::TempDir() + "question_reader_test/deep";
  const std::string path = folder + "/history";
  std::remove(path.c_str());
  EXPECT_TRUE(read_history(path, 10).empty());
  append_history(path, "one\ntwo");
  append_history(path, "\u00E9 \xFF");
  EXPECT_EQ(read_history(path, 10), (std::vector<std::string>{"one\ntwo", "\u00E9 \uFFFD"}));
  EXPECT_EQ(read_history(path, 1), std::vector<std::string>{"\u00E9 \uFFFD"});
  std::ofstream(path, std::ios::app) << "no JSON\n7\n";
  EXPECT_EQ(read_history(path, 10).size(), 2U);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 077U, 0U) << "others could read what was asked";
  append_history("/dev/null/history", "x");  // nowhere to write: no harm
}

}  // namespace
}  // namespace lazyfill::cli
