#include "cli/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace lazyfill::cli {
namespace {

namespace fs = std::filesystem;

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Root may write everywhere.
class AsOrdinaryUser {
 public:
  explicit AsOrdinaryUser(const std::string& folder) {
    constexpr uid_t kNobody = 65534;
    if (!is_root_) return;
    for (const auto& entry : fs::directory_iterator(folder))
      EXPECT_EQ(lchown(entry.path().c_str(), kNobody, 0), 0);
    EXPECT_EQ(chown(folder.c_str(), kNobody, 0), 0);
    EXPECT_EQ(seteuid(kNobody), 0);
  }
  ~AsOrdinaryUser() {
    if (is_root_ && seteuid(0) != 0) ADD_FAILURE();
  }

 private:
  bool is_root_ = geteuid() == 0;
};

class OutputFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "output_file_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  // Nothing but these may lie in the folder.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string folder_;
};

std::string refusal(const std::string& output, const InputFiles& inputs) {
  auto opened = OutputFile::open(output, inputs);
  return opened ? "" : opened.error().message;
}

TEST_F(OutputFiles, KeepWhatWasThereUntilTheFirstResult) {
  const std::string out = file("out.txt", "something long from before");
  { ASSERT_TRUE(OutputFile::open(out, {})); }
  EXPECT_EQ(content(out), "something long from before");
  {
    auto opened = OutputFile::open(out, {});
    ASSERT_TRUE(opened);
    EXPECT_EQ(content(out), "something long from before");
    ASSERT_TRUE(opened->write("one\n"));
    EXPECT_EQ(content(out), "one\n");  // already there
    ASSERT_TRUE(opened->write("two\n"));
    EXPECT_EQ(content(out), "one\ntwo\n");
  }
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt"});
}

TEST_F(OutputFiles, LeaveNothingBehindWithoutAResult) {
  { ASSERT_TRUE(OutputFile::open(path("new.txt"), {})); }
  EXPECT_TRUE(names().empty());
}

TEST_F(OutputFiles, AReaderOfTheOldFileKeepsIt) {
  const std::string out = file("out.txt", "old");
  std::ifstream reader(out);
  auto opened = OutputFile::open(out, {});
  ASSERT_TRUE(opened->write("new"));
  std::string seen;
  reader >> seen;
  EXPECT_EQ(seen, "old");
  EXPECT_EQ(content(out), "new");
}

TEST_F(OutputFiles, KeepTheirMode) {
  const std::string out = file("out.txt", "old");
  chmod(out.c_str(), 0640);
  ASSERT_TRUE(OutputFile::open(out, {})->write("new"));
  struct stat status {};
  stat(out.c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
}

TEST_F(OutputFiles, InputsAreRefusedByWhateverName) {
  const std::string input = file("in.txt", "input");
  fs::create_symlink("in.txt", path("link"));
  fs::create_symlink("link", path("link to link"));
  fs::create_hard_link(input, path("hard"));
  fs::create_directory(path("sub"));
  fs::create_directory_symlink(folder_, path("sub/up"));
  const InputFiles inputs = {"/no/such/file", path("link"), ""};
  for (const std::string name :
       {"in.txt", "./in.txt", "sub/../in.txt", "link", "link to link", "hard", "sub/up/in.txt"})
    EXPECT_NE(refusal(path(name), inputs).find("the file is read as"), std::string::npos) << name;
  EXPECT_EQ(refusal(path("other.txt"), inputs), "");
  EXPECT_EQ(content(input), "input");
}

TEST_F(OutputFiles, PartsAndPresetsOfTheModelAreInputs) {
  const std::string second = file("m-00002-of-00002.gguf", "second");
  InputFiles inputs;
  inputs.add_model(file("m-00001-of-00002.gguf", "first"));
  EXPECT_NE(refusal(second, inputs), "");
  const std::string preset = file("m-00001-of-00002.gguf.preset.json", "{}");
  EXPECT_EQ(refusal(preset, inputs), "");
  inputs.add_presets(path("m-00001-of-00002.gguf"));
  EXPECT_NE(refusal(preset, inputs), "");
}

TEST_F(OutputFiles, LinksStayLinks) {
  const std::string target = file("target.txt", "old");
  fs::create_symlink("target.txt", path("link"));
  ASSERT_TRUE(OutputFile::open(path("link"), {})->write("new"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(content(target), "new");
  fs::create_symlink("not there yet", path("dangling"));
  ASSERT_TRUE(OutputFile::open(path("dangling"), {})->write("made"));
  EXPECT_TRUE(fs::is_symlink(path("dangling")));
  EXPECT_EQ(content(path("not there yet")), "made");
}

TEST_F(OutputFiles, PathsThatCannotBeWrittenAreFoundAtOnce) {
  EXPECT_NE(refusal(path("no/folder/x.json"), {}).find("No such file"), std::string::npos);
  EXPECT_NE(refusal(path("new/"), {}), "");
  EXPECT_NE(refusal(folder_, {}).find("directory"), std::string::npos);
  EXPECT_NE(refusal(path(std::string(300, 'x')), {}).find("too long"), std::string::npos);
  fs::create_symlink("round", path("round"));
  EXPECT_NE(refusal(path("round"), {}), "");
  const std::string read_only = file("read_only.txt", "x");
  chmod(read_only.c_str(), 0444);
  const AsOrdinaryUser user(folder_);
  EXPECT_NE(refusal(read_only, {}).find("Permission denied"), std::string::npos);
}

TEST_F(OutputFiles, NamesMayBeAsLongAsTheyCanBe) {
  const std::string out = path(std::string(255, 'x'));
  ASSERT_TRUE(OutputFile::open(out, {})->write("new"));
  EXPECT_EQ(content(out), "new");
}

TEST_F(OutputFiles, AFileInAFolderThatTakesNoOtherIsWrittenInPlace) {
  const std::string out = file("out.txt", "something long from before");
  const AsOrdinaryUser user(folder_);
  chmod(folder_.c_str(), 0555);
  {
    auto opened = OutputFile::open(out, {});
    ASSERT_TRUE(opened);
    EXPECT_EQ(content(out), "something long from before");
    EXPECT_TRUE(opened->write("one\n"));
    EXPECT_TRUE(opened->write("two\n"));
  }
  EXPECT_NE(refusal(path("new.txt"), {}), "");
  chmod(folder_.c_str(), 0755);
  EXPECT_EQ(content(out), "one\ntwo\n");
}

TEST_F(OutputFiles, WhatTheShellOpenedIsWrittenThroughIt) {
  const std::string out = file("out.txt", "");
  const int fd = open(out.c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(write(fd, "before\n", 7), 7);
  auto opened = OutputFile::open("/dev/fd/" + std::to_string(fd), {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE(opened->write("one\n"));
  ASSERT_EQ(write(fd, "after\n", 6), 6);
  EXPECT_EQ(content(out), "before\none\nafter\n");
  close(fd);
}

TEST_F(OutputFiles, PipesAndDevicesAreWrittenInPlace) {
  ASSERT_TRUE(OutputFile::open("/dev/null", {"/dev/null"})->write("gone"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  {
    auto opened = OutputFile::open(path("pipe"), {});
    ASSERT_TRUE(opened);
    ASSERT_TRUE(opened->write("one\n"));
    ASSERT_TRUE(opened->write("two\n"));
  }
  char buffer[16];
  EXPECT_EQ(
      std::string(buffer, static_cast<size_t>(std::max<ssize_t>(read(reader, buffer, sizeof buffer), 0))),
      "one\ntwo\n");
  close(reader);
  EXPECT_EQ(names(), std::vector<std::string>{"pipe"});
}

// The limit stands for a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &old_); }

 private:
  rlimit old_{};
};

TEST_F(OutputFiles, AFullDiskCostsNothingThatWasThere) {
  const std::string out = file("out.txt", "something from before");
  {
    auto opened = OutputFile::open(out, {});
    const FileSizeLimit limit(1000);
    EXPECT_FALSE(opened->write(std::string(2000, 'x')));
    EXPECT_EQ(content(out), "something from before");
    EXPECT_TRUE(opened->write("one\n"));
    EXPECT_FALSE(opened->write(std::string(2000, 'x')));
  }
  EXPECT_EQ(content(out), "one\n");  // and not the first half of a line
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt"});
}

TEST_F(OutputFiles, TwoNamesOfOneFileAreKnownBeforeItExists) {
  EXPECT_TRUE(is_same_file(path("new"), folder_ + "/./new"));
  EXPECT_FALSE(is_same_file(path("new"), path("newer")));
  EXPECT_FALSE(is_same_file("-", "-"));
  EXPECT_FALSE(is_same_file("/dev/null", "/dev/null"));
}

}  // namespace
}  // namespace lazyfill::cli
