#include "gguf/fingerprint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "gguf/writer.h"

namespace lazyfill::gguf {
namespace {

std::string fingerprint_of(const std::string& tensor, std::vector<uint64_t> shape, int first_value,
                           const std::string& model_name) {
  Writer writer;
  writer.set("general.name", model_name);
  std::vector<std::byte> data(4 * 64, std::byte{1});
  data[0] = std::byte(first_value);
  EXPECT_TRUE(writer.add_tensor(tensor, TensorType::kF32, std::move(shape), data));
  const std::string path = testing::TempDir() + "fingerprint_test_" + std::to_string(getpid()) + ".gguf";
  EXPECT_TRUE(writer.save(path));
  const auto file = File::open(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(file) << file.error().message;
  return file ? fingerprint(*file).value_or("unread") : "not opened";
}

TEST(Fingerprint, IsOfTheWeightsAndNotOfTheName) {
  const std::string one = fingerprint_of("a.weight", {64}, 1, "model");
  EXPECT_EQ(one.size(), 16U);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(fingerprint_of("a.weight", {64}, 1, "renamed"), one);
  EXPECT_NE(fingerprint_of("b.weight", {64}, 1, "model"), one);
  EXPECT_NE(fingerprint_of("a.weight", {8, 8}, 1, "model"), one);
  EXPECT_NE(fingerprint_of("a.weight", {64}, 2, "model"), one);
}

}  // namespace
}  // namespace lazyfill::gguf
