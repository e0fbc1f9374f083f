#include "base/mapped_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace lazyfill {
namespace {

TEST(MappedFile, GivesTheBytes) {
  const std::string path = testing::TempDir() + "mapped_file_test.bin";
  std::ofstream(path) << "hello";
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto bytes = file->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "hello");
  file->release_pages();
  EXPECT_EQ(static_cast<char>(file->bytes()[4]), 'o');
  std::remove(path.c_str());
}

TEST(MappedFile, MissingEmptyAndFolderAreErrors) {
  const auto missing = MappedFile::open(testing::TempDir() + "no-such-file");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);

  const std::string empty_path = testing::TempDir() + "mapped_file_empty.bin";
  std::ofstream(empty_path).flush();
  const auto empty = MappedFile::open(empty_path);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidFile);
  std::remove(empty_path.c_str());

  const auto folder = MappedFile::open(testing::TempDir());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidFile);
}

}  // namespace
}  // namespace lazyfill
