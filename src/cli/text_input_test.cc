#include "cli/text_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <thread>

namespace lazyfill::cli {
namespace {

std::string file_of(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_.data()), 0); }
  ~Pipe() {
    close(ends_[0]);
    end();
  }
  int reader() const { return ends_[0]; }
  void write(const std::string& text) const {
    EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void end() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

constexpr int kShort = 20;     // nothing will come
constexpr int kLong = 60'000;  // something will

TEST(DocumentOnStandardInput, APipeThatNobodyWritesToIsNotWaitedForForEver) {
  const Pipe pipe;
  EXPECT_EQ(document_on_standard_input(pipe.reader(), kShort), OnStandardInput::kTimedOut);
}

TEST(DocumentOnStandardInput, TextOrTheEndOfAPipeIsTaken) {
  const Pipe full;
  full.write("x");
  EXPECT_EQ(document_on_standard_input(full.reader(), kLong), OnStandardInput::kText);
  Pipe ended;
  ended.end();
  EXPECT_EQ(document_on_standard_input(ended.reader(), kLong), OnStandardInput::kText);
}

TEST(DocumentOnStandardInput, TextThatComesLaterIsTaken) {
  const Pipe pipe;
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    pipe.write("x");
  });
  EXPECT_EQ(document_on_standard_input(pipe.reader(), kLong), OnStandardInput::kText);
  writer.join();
}

TEST(DocumentOnStandardInput, AFileIsTakenUnlessAShellGoesThroughIt) {
  const std::string path = file_of("document.txt", "one\ntwo\n");
  const int fd = open(path.c_str(), O_RDONLY);
  EXPECT_EQ(document_on_standard_input(fd, kLong), OnStandardInput::kText);
  lseek(fd, 4, SEEK_SET);  // as after `read line`
  EXPECT_EQ(document_on_standard_input(fd, kLong), OnStandardInput::kNothing);
  close(fd);
}

TEST(DocumentOnStandardInput, DevicesAndClosedStreamsHoldNone) {
  const int null = open("/dev/null", O_RDONLY);
  EXPECT_EQ(document_on_standard_input(null, kLong), OnStandardInput::kNothing);
  close(null);
  EXPECT_EQ(document_on_standard_input(null, kLong), OnStandardInput::kNothing);
  const int zero = open("/dev/zero", O_RDONLY);  // has no end
  EXPECT_EQ(document_on_standard_input(zero, kLong), OnStandardInput::kNothing);
  close(zero);
}

TEST(StandardInput, CanBeReadOnce) {
  EXPECT_EQ(standard_input_twice({"-", "a", ""}), "");
  EXPECT_NE(standard_input_twice({"-", "/dev/stdin"}), "");
}

TEST(ReadTextFile, AByteOrderMarkIsNoTextAndOnlyTheFirstIsOne) {
  const TextFlags flags;
  EXPECT_EQ(*read_text_file(file_of("bom.txt", "\xEF\xBB\xBFone"), flags), "one");
  EXPECT_EQ(*read_text_file(file_of("bom.txt", "\xEF\xBB\xBF\xEF\xBB\xBFone"), flags), "\xEF\xBB\xBFone");
  EXPECT_EQ(*read_text_file(file_of("bom.txt", "\xEF\xBB\xBF"), flags), "");
}

TEST(ReadPrompt, FilesFollowOneAnotherAndTheTextFollowsThem) {
  PromptFlags flags;
  flags.files = {file_of("a.txt",
                         "\xEF\xBB\xBF"
                         "A\n"),
                 file_of("b.txt",
                         "\xEF\xBB\xBF"
                         "B"),
                 file_of("none.txt", "")};
  flags.prompt = "why?";
  EXPECT_EQ(*read_prompt(flags, Terminal(true)), "A\n\nB\n\nwhy?");
  std::swap(flags.files[0], flags.files[1]);
  flags.prompt.reset();
  EXPECT_EQ(*read_prompt(flags, Terminal(true)), "B\n\nA\n");
}

TEST(ReadPrompt, BlanksAreATextAndNothingIsNone) {
  PromptFlags flags;
  flags.prompt = " \n";
  EXPECT_EQ(*read_prompt(flags, Terminal(true), false), " \n");
  flags.prompt = "";
  const auto empty = read_prompt(flags, Terminal(true), false);
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().message.find("the prompt is empty"), std::string::npos);
}

}  // namespace
}  // namespace lazyfill::cli
