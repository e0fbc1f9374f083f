#include "gguf/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "gguf/file.h"
#include "gguf/fingerprint.h"
#include "gguf/writer.h"

namespace lazyfill::gguf {
namespace {

using testing::HasSubstr;

TEST(SplitName, NumbersAndPrefix) {
  const auto name = parse_split_name("/models/big-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->prefix, "/models/big");
  EXPECT_EQ(name->number, 2U);
  EXPECT_EQ(name->count, 13U);
  EXPECT_EQ(name->path_of(13), "/models/big-00013-of-00013.gguf");
  for (const char* other : {"", "big.gguf", "big-0002-of-0013.gguf", "big-00002-of-00013.bin",
                            "big-0000x-of-00013.gguf", "big-00002_of-00013.gguf", "of-00013.gguf"}) {
    EXPECT_FALSE(parse_split_name(other)) << other;
  }
}

// Four tensors of 32 floats, each filled with its index.
std::vector<std::byte> data_of(uint64_t tensor) {
  const std::vector<float> values(32, static_cast<float>(tensor));
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::string name_of(uint64_t tensor) {
  std::string name = "t";
  return name += std::to_string(tensor);
}

class SplitFiles : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(uint64_t number, uint64_t count = 3) const {
    return SplitName{folder_ + "/model", 0, count}.path_of(number);
  }

  // Part `number` (from 1) of a model in three parts: tensors t0, t1 | t2 | t3. `change` damages it.
  void write(
      uint64_t number, const std::function<void(Writer&)>& change = [](Writer&) {}) const {
    Writer writer;
    writer.set("split.no", uint64_t{number - 1});
    writer.set("split.count", uint64_t{3});
    writer.set("split.tensors.count", uint64_t{4});
    if (number == 1) writer.set("general.architecture", std::string("llama"));
    const std::vector<uint64_t> tensors =
        number == 1 ? std::vector<uint64_t>{0, 1} : std::vector<uint64_t>{number};
    for (const uint64_t tensor : tensors) {
      EXPECT_TRUE(writer.add_tensor(name_of(tensor), TensorType::kF32, {32}, data_of(tensor)));
    }
    change(writer);
    EXPECT_TRUE(writer.save(path(number)));
  }
  void write_all() const {
    for (uint64_t number = 1; number <= 3; ++number) write(number);
  }

  void expect_refused(const std::string& message, uint64_t opened = 1) const {
    const auto file = File::open(path(opened));
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error().message, HasSubstr(message));
  }

  const std::string folder_ = testing::TempDir() + "split_test_" + std::to_string(getpid());
};

TEST_F(SplitFiles, AnyPartOpensAll) {
  write_all();
  for (uint64_t opened = 1; opened <= 3; ++opened) {
    const auto file = File::open(path(opened));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->n_parts(), 3U);
    EXPECT_EQ(file->get_string("general.architecture"), "llama");
    EXPECT_EQ(file->size_bytes(), std::filesystem::file_size(path(1)) + std::filesystem::file_size(path(2)) +
                                      std::filesystem::file_size(path(3)));
    ASSERT_EQ(file->tensors().size(), 4U);
    for (uint64_t tensor = 0; tensor < 4; ++tensor) {
      const TensorInfo* info = file->find_tensor(name_of(tensor));
      ASSERT_NE(info, nullptr);
      std::vector<std::byte> data(info->n_bytes);
      ASSERT_TRUE(file->read_rows(*info, 0, 1, data.data()));
      EXPECT_EQ(data, data_of(tensor));
    }
  }
}

// Presets are found by it: a model is the same in one file and in three.
TEST_F(SplitFiles, FingerprintOfTheWhole) {
  write_all();
  Writer whole;
  for (uint64_t tensor = 0; tensor < 4; ++tensor) {
    ASSERT_TRUE(whole.add_tensor(name_of(tensor), TensorType::kF32, {32}, data_of(tensor)));
  }
  ASSERT_TRUE(whole.save(folder_ + "/whole.gguf"));
  EXPECT_EQ(*fingerprint(*File::open(path(1))), *fingerprint(*File::open(folder_ + "/whole.gguf")));
}

TEST_F(SplitFiles, MissingPart) {
  write_all();
  std::filesystem::remove(path(2));
  expect_refused("part 2 of 3 of the model cannot be used: cannot open");
  expect_refused("part 2 of 3 of the model cannot be used: cannot open", 3);
}

TEST_F(SplitFiles, RenamedPart) {
  write_all();
  const std::string renamed = folder_ + "/renamed.gguf";
  std::filesystem::rename(path(2), renamed);
  const auto file = File::open(renamed);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("this is part 2 of 3 of a split model"));
}

TEST_F(SplitFiles, MixedOrder) {
  write_all();
  std::filesystem::rename(path(2), folder_ + "/aside");
  std::filesystem::rename(path(3), path(2));
  std::filesystem::rename(folder_ + "/aside", path(3));
  expect_refused("its name says part 2 of 3 but it holds part 3; the names of the parts are mixed up");
}

TEST_F(SplitFiles, WrongCount) {
  write_all();
  std::filesystem::copy(path(1), path(1, 4));
  const auto file = File::open(path(1, 4));
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("its name says 4 parts but its metadata 3"));
  write(2, [](Writer& writer) { writer.set("split.count", uint64_t{2}); });
  expect_refused("its name says 3 parts but its metadata 2");
}

TEST_F(SplitFiles, HugeCount) {
  write(1, [](Writer& writer) { writer.set("split.count", uint64_t{1} << 40); });
  expect_refused("at most 512 parts are read");
}

TEST_F(SplitFiles, NumberBeyondTheCount) {
  write(1, [](Writer& writer) { writer.set("split.no", uint64_t{3}); });
  expect_refused("split.no is 3 of a model in 3 parts");
}

TEST_F(SplitFiles, KeysOfOtherTypes) {
  write(1, [](Writer& writer) { writer.set("split.no", std::string("1")); });
  expect_refused("split.no is missing or no natural number");
  write(1, [](Writer& writer) { writer.set("split.tensors.count", int64_t{-4}); });
  expect_refused("split.tensors.count is missing or no natural number");
}

TEST_F(SplitFiles, WholeFileAmongTheParts) {
  write_all();
  write(2, [](Writer& writer) { writer.set("split.count", uint64_t{1}); });
  expect_refused("the file is whole, not part 2 of 3");
}

TEST_F(SplitFiles, DuplicateTensor) {
  write_all();
  write(3, [](Writer& writer) {
    writer.set("split.tensors.count", uint64_t{5});
    ASSERT_TRUE(writer.add_tensor("t0", TensorType::kF32, {32}, data_of(0)));
  });
  for (const uint64_t number : {1, 2}) {
    write(number, [](Writer& writer) { writer.set("split.tensors.count", uint64_t{5}); });
  }
  expect_refused("the tensor \"t0\" appears twice");
}

TEST_F(SplitFiles, TensorsThatAreNotThere) {
  for (uint64_t number = 1; number <= 3; ++number) {
    write(number, [](Writer& writer) { writer.set("split.tensors.count", uint64_t{9}); });
  }
  expect_refused("the parts hold 4 tensors, where they say that the model has 9");
}

TEST_F(SplitFiles, PartOfAnotherModel) {
  write_all();
  write(2, [](Writer& writer) { writer.set("split.tensors.count", uint64_t{7}); });
  expect_refused("this part belongs to another model");
  write(2, [](Writer& writer) { writer.set("general.architecture", std::string("gemma3")); });
  expect_refused("this part belongs to another model");
}

TEST_F(SplitFiles, DamagedPart) {
  write_all();
  std::filesystem::resize_file(path(3), std::filesystem::file_size(path(3)) - 64);
  expect_refused("part 3 of 3 of the model cannot be used");
  expect_refused("past the end of the file");
}

}  // namespace
}  // namespace lazyfill::gguf
