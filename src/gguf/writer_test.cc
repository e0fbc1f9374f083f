#include "gguf/writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

namespace lazyfill::gguf {
namespace {

// Saves, opens, and deletes the file.
Result<File> save_and_open(const Writer& writer) {
  const std::string path = testing::TempDir() + "gguf_writer_test_" + std::to_string(getpid()) + ".gguf";
  const auto saved = writer.save(path);
  if (!saved) return tl::unexpected(saved.error());
  auto file = File::open(path);
  std::filesystem::remove(path);
  return file;
}

std::vector<std::byte> data_of(const File& file, const TensorInfo& tensor) {
  std::vector<std::byte> data(tensor.n_bytes);
  const auto done = file.read_rows(tensor, 0, tensor.n_rows(), data.data());
  EXPECT_TRUE(done) << done.error().message;
  return data;
}

TEST(GgufWriter, EveryValueReadsBackEqual) {
  const std::map<std::string, Value, std::less<>> values = {
      {"small", uint64_t{7}},
      {"large", std::numeric_limits<uint64_t>::max()},
      {"negative", int64_t{-3}},
      {"very_negative", std::numeric_limits<int64_t>::min()},
      {"float", 0.5},
      {"double", 0.1},
      {"infinity", -std::numeric_limits<double>::infinity()},
      {"flag", true},
      {"text", std::string("a\0b\xff", 4)},
      {"ints", Array(std::vector<int64_t>{-1, 1LL << 40})},
      {"uints", Array(std::vector<uint64_t>{1, 2})},
      {"floats", Array(std::vector<double>{1.5, -2})},
      {"doubles", Array(std::vector<double>{1.5, 0.1})},
      {"flags", Array(std::vector<bool>{true, false})},
      {"texts", Array(std::vector<std::string>{"", "x"})},
      {"empty", Array(std::vector<std::string>{})},
  };
  Writer writer;
  for (const auto& [key, value] : values) writer.set(key, value);
  const auto file = save_and_open(writer);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata(), values);
}

TEST(GgufWriter, TensorsReadBackAtEveryAlignment) {
  for (const uint64_t alignment : {8U, 32U, 256U}) {
    Writer writer;
    writer.set("general.alignment", alignment);
    const std::vector<std::byte> one(34 * 3, std::byte{1});
    const std::vector<std::byte> two(4 * 5, std::byte{2});
    ASSERT_TRUE(writer.add_tensor("one", TensorType::kQ8_0, {32, 3}, one));
    ASSERT_TRUE(writer.add_tensor("two", TensorType::kF32, {5}, two));
    const auto file = save_and_open(writer);
    ASSERT_TRUE(file) << file.error().message;
    const TensorInfo* tensor = file->find_tensor("two");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->offset_bytes % alignment, 0U);
    EXPECT_EQ(data_of(*file, *tensor), two);
    tensor = file->find_tensor("one");
    EXPECT_EQ(tensor->shape, (std::vector<uint64_t>{32, 3}));
    EXPECT_EQ(data_of(*file, *tensor), one);
  }
}

TEST(GgufWriter, RefusesWhatTheReaderWouldRefuse) {
  const std::vector<std::byte> data(32);
  Writer writer;
  EXPECT_FALSE(writer.add_tensor("", TensorType::kF32, {8}, data));
  EXPECT_FALSE(writer.add_tensor("t", TensorType::kF32, {9}, data));
  EXPECT_FALSE(writer.add_tensor("t", TensorType::kF32, {}, data));
  EXPECT_FALSE(writer.add_tensor("t", TensorType::kF32, {8, 1, 1, 1, 1}, data));
  EXPECT_FALSE(writer.add_tensor("t", static_cast<TensorType>(4), {32}, data));
  EXPECT_TRUE(writer.add_tensor("t", TensorType::kF32, {8}, data));
  EXPECT_FALSE(writer.add_tensor("t", TensorType::kF32, {8}, data));
  writer.set("general.alignment", uint64_t{13});
  EXPECT_FALSE(writer.bytes());
  EXPECT_FALSE(Writer().save(testing::TempDir() + "no-such-folder/file.gguf"));
}

}  // namespace
}  // namespace lazyfill::gguf
