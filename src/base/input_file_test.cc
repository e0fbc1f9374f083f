#include "base/input_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace lazyfill {
namespace {

class InputFiles : public testing::Test {
 protected:
  InputFiles() : path_(testing::TempDir() + "input_file_test_" + std::to_string(getpid())) {}
  ~InputFiles() override { std::filesystem::remove(path_); }

  void write(const std::string& contents) { std::ofstream(path_, std::ios::binary) << contents; }
  static Result<std::string> read(const InputFile& file, uint64_t offset, size_t n) {
    std::string bytes(n, '\0');
    const auto done = file.read_at(offset, std::as_writable_bytes(std::span(bytes)));
    if (!done) return tl::unexpected(done.error());
    return bytes;
  }

  std::string path_;
};

TEST_F(InputFiles, GivesTheBytesFromAnywhere) {
  write("hello world");
  const auto file = InputFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->size_bytes(), 11U);
  EXPECT_EQ(read(*file, 0, 11), "hello world");
  EXPECT_EQ(read(*file, 6, 5), "world");
  EXPECT_EQ(read(*file, 11, 0), "");
  // The file that was opened is the one that is read, whatever its name means now.
  std::filesystem::remove(path_);
  EXPECT_EQ(read(*file, 6, 5), "world");
}

TEST_F(InputFiles, OutsideIsAnError) {
  write("hello");
  const auto file = InputFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_FALSE(read(*file, 0, 6));
  EXPECT_FALSE(read(*file, 5, 1));
  EXPECT_FALSE(read(*file, UINT64_MAX, 2));
}

TEST_F(InputFiles, ShrinkingIsAnError) {
  write(std::string(10000, 'x'));
  const auto file = InputFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  std::filesystem::resize_file(path_, 5000);
  EXPECT_TRUE(read(*file, 0, 5000));
  for (const uint64_t offset : {4999, 5000, 9000}) {
    const auto bytes = read(*file, offset, 1000);
    ASSERT_FALSE(bytes) << offset;
    EXPECT_THAT(bytes.error().message, testing::HasSubstr("has become shorter while it was in use"));
  }
}

TEST_F(InputFiles, MissingEmptyFolderAndPipeAreErrors) {
  const auto missing = InputFile::open(path_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);

  write("");
  const auto empty = InputFile::open(path_);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidFile);

  const auto folder = InputFile::open(testing::TempDir());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidFile);

  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const auto pipe = InputFile::open(path_);
  ASSERT_FALSE(pipe);
  EXPECT_EQ(pipe.error().code, ErrorCode::kInvalidFile);
}

}  // namespace
}  // namespace lazyfill
