#include "gguf/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "gguf/cursor.h"

namespace lazyfill::gguf {
namespace {

using testing::HasSubstr;

std::string number_bytes(uint64_t value, size_t n_bytes) {
  std::string bytes(n_bytes, '\0');
  std::memcpy(bytes.data(), &value, n_bytes);
  return bytes;
}
std::string u32(uint64_t value) {
  return number_bytes(value, 4);
}
std::string u64(uint64_t value) {
  return number_bytes(value, 8);
}
std::string text(const std::string& value) {
  return u64(value.size()) + value;
}
std::string typed(ValueType type) {
  return u32(static_cast<uint32_t>(type));
}
std::string pair(const std::string& key, ValueType type, const std::string& value) {
  return text(key) + typed(type) + value;
}

struct RawTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  uint64_t offset = 0;
  uint32_t n_dims = UINT32_MAX;  // unless set: as many as there are
};

// A file as bytes, right as it stands; each test breaks one thing. The parts hold what the name says.
struct RawFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> pairs = {pair("general.architecture", ValueType::kString, text("llama")),
                                    pair("llama.block_count", ValueType::kUint32, u32(2))};
  std::vector<RawTensor> tensors = {{"a", {32, 2}, 8, 0},
                                    {"b", {8}, 0, 96}};  // Q8_0: 68 bytes; F32: 32 bytes
  uint64_t extra_tensors = 0;                            // claimed but not there
  uint64_t extra_pairs = 0;
  uint64_t alignment = 32;
  size_t data_bytes = 128;

  std::string bytes() const {
    std::string out =
        magic + u32(version) + u64(tensors.size() + extra_tensors) + u64(pairs.size() + extra_pairs);
    for (const std::string& pair : pairs) out += pair;
    for (const RawTensor& tensor : tensors) {
      out += text(tensor.name) + u32(tensor.n_dims == UINT32_MAX ? tensor.dims.size() : tensor.n_dims);
      for (const uint64_t dim : tensor.dims) out += u64(dim);
      out += u32(tensor.type) + u64(tensor.offset);
    }
    while (out.size() % alignment != 0) out += '\0';
    return out + std::string(data_bytes, '\1');
  }
};

// Opens the bytes as a file that is gone again afterwards.
Result<File> open_bytes(const std::string& bytes) {
  const std::string path = testing::TempDir() + "gguf_file_test_" + std::to_string(getpid()) + ".gguf";
  std::ofstream(path, std::ios::binary) << bytes;
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

TEST(GgufFile, ReadsMetadataAndTensors) {
  for (const uint32_t version : {2, 3}) {
    RawFile raw;
    raw.version = version;
    const auto file = open_bytes(raw.bytes());
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->get_string("general.architecture"), "llama");
    EXPECT_EQ(file->get_uint("llama.block_count"), 2U);
    const TensorInfo* tensor = file->find_tensor("b");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, std::vector<uint64_t>{8});
    EXPECT_EQ(tensor->n_bytes, 32U);
    EXPECT_EQ(data_of(*file, *tensor), std::vector<std::byte>(32, std::byte{1}));
    std::byte row{};
    EXPECT_FALSE(file->read_rows(*tensor, 1, 2, &row));
    EXPECT_FALSE(file->read_rows(*tensor, 1, 0, &row));
    EXPECT_EQ(file->find_tensor("c"), nullptr);
  }
}

TEST(GgufFile, FileWithoutTensorsIsWhole) {
  RawFile raw;
  raw.tensors.clear();
  raw.data_bytes = 0;
  EXPECT_TRUE(open_bytes(raw.bytes()));
}

TEST(GgufFile, EveryTruncationIsAnError) {
  const std::string bytes = RawFile{}.bytes();
  ASSERT_TRUE(open_bytes(bytes));
  for (size_t n = 0; n < bytes.size(); ++n) {
    const auto file = open_bytes(bytes.substr(0, n));
    ASSERT_FALSE(file) << n << " of " << bytes.size() << " bytes";
    ASSERT_FALSE(file.error().message.empty());
  }
}

struct BadFile {
  const char* name;
  std::function<void(RawFile&)> damage;
  const char* expected;  // part of the sentence
};

void PrintTo(const BadFile& bad, std::ostream* out) {
  *out << bad.name;
}

std::function<void(RawFile&)> with_pair(const std::string& bytes) {
  return [bytes](RawFile& raw) { raw.pairs.push_back(bytes); };
}
std::function<void(RawFile&)> with_alignment(uint64_t value) {
  return with_pair(pair("general.alignment", ValueType::kUint32, u32(value)));
}
std::function<void(RawFile&)> with_tensor(const RawTensor& tensor) {
  return [tensor](RawFile& raw) { raw.tensors[1] = tensor; };
}
std::string array_pair(uint32_t type, uint64_t n, const std::string& items) {
  return pair("list", ValueType::kArray, u32(type) + u64(n) + items);
}

constexpr uint64_t kHuge = uint64_t{1} << 62;

std::vector<BadFile> bad_headers() {
  return {
      {"Magic", [](RawFile& raw) { raw.magic = "GGML"; }, "not a GGUF file"},
      {"Version0", [](RawFile& raw) { raw.version = 0; }, "version 0 is not supported"},
      {"Version1", [](RawFile& raw) { raw.version = 1; }, "version 1 is not supported"},
      {"VersionFuture", [](RawFile& raw) { raw.version = 4; }, "version 4 is not supported"},
      {"BigEndian", [](RawFile& raw) { raw.version = 0x03000000; }, "big-endian"},
      {"TensorsMinusOne", [](RawFile& raw) { raw.extra_tensors = -3; }, "the number of tensors is"},
      {"Tensors2To63", [](RawFile& raw) { raw.extra_tensors = uint64_t{1} << 63; },
       "the number of tensors is"},
      {"TensorsAboveFile", [](RawFile& raw) { raw.extra_tensors = 1000; }, "the number of tensors is 1002"},
      {"PairsMinusOne", [](RawFile& raw) { raw.extra_pairs = -3; }, "the number of metadata keys is"},
      {"PairsAboveFile", [](RawFile& raw) { raw.extra_pairs = 1000; }, "the number of metadata keys is 1002"},
      {"OnePairTooMany", [](RawFile& raw) { raw.extra_pairs = 1; }, ""},
  };
}

std::vector<BadFile> bad_metadata() {
  const auto u32_type = static_cast<uint32_t>(ValueType::kUint32);
  return {
      {"EmptyKey", with_pair(pair("", ValueType::kUint32, u32(1))), "key is empty"},
      {"KeyTooLong", with_pair(pair(std::string(65536, 'k'), ValueType::kUint32, u32(1))), "longer than"},
      {"KeyLengthMinusOne", with_pair(u64(-1) + "key"), "ends inside a metadata key"},
      {"KeyTwice", with_pair(pair("llama.block_count", ValueType::kUint32, u32(2))), "appears twice"},
      {"ValueType13", with_pair(text("key") + u32(13) + u64(0)), "value type 13"},
      {"ValueTypeMinusOne", with_pair(text("key") + u32(-1) + u64(0)), "value type 4294967295"},
      {"Bool2", with_pair(pair("key", ValueType::kBool, "\2")), "neither 0 nor 1"},
      {"StringLengthHuge", with_pair(pair("key", ValueType::kString, u64(kHuge))), "ends inside"},
      {"NestedArray", with_pair(array_pair(9, 1, u32(4) + u64(1) + u32(7))), "array of arrays"},
      {"ArrayType13", with_pair(array_pair(13, 1, u64(0))), "value type 13"},
      {"ArrayLengthHuge", with_pair(array_pair(u32_type, kHuge, "")), "the length of"},
      {"ArrayLengthWraps", with_pair(array_pair(u32_type, kHuge + 1, u32(7))), "the length of"},
      {"StringsLengthHuge", with_pair(array_pair(8, kHuge, "")), "the length of"},
      {"BoolsLengthHuge", with_pair(array_pair(7, UINT64_MAX, "")), "the length of"},
      {"BoolsWithA3", with_pair(array_pair(7, 2, std::string("\1\3"))), "neither 0 nor 1"},
      {"Alignment0", with_alignment(0), "general.alignment is 0"},
      {"Alignment1", with_alignment(1), "general.alignment is 1"},
      {"Alignment13", with_alignment(13), "general.alignment is 13"},
      {"Alignment2To30", with_alignment(1 << 30), "general.alignment is 1073741824"},
      {"Alignment2To31", with_alignment(0x80000000U), "general.alignment is 2147483648"},
      {"AlignmentSigned", with_pair(pair("general.alignment", ValueType::kInt32, u32(32))), "unsigned"},
      {"AlignmentText", with_pair(pair("general.alignment", ValueType::kString, text("32"))), "unsigned"},
  };
}

std::vector<BadFile> bad_tensors() {
  return {
      {"NameEmpty", with_tensor({"", {8}, 0, 96}), "a tensor has no name"},
      {"NameTooLong", with_tensor({std::string(65, 'n'), {8}, 0, 96}), "longer than the 64 bytes"},
      {"NameWithNul", with_tensor({std::string("b\0c", 3), {8}, 0, 96}), "\"b\\x00c\" holds a zero byte"},
      {"NameTwice", with_tensor({"a", {8}, 0, 96}), "\"a\" appears twice"},
      {"Dims0", with_tensor({"b", {}, 0, 96}), "0 dimensions"},
      {"Dims5", with_tensor({"b", {8, 1, 1, 1, 1}, 0, 96}), "5 dimensions"},
      {"DimsMax", with_tensor({"b", {8}, 0, 96, UINT32_MAX - 1}), "4294967294 dimensions"},
      {"DimZero", with_tensor({"b", {8, 0}, 0, 96}), "a dimension of 0"},
      {"DimZeroAfterOverflow", with_tensor({"b", {kHuge, kHuge, 0}, 0, 96}), "a dimension of 0"},
      {"DimNegative", with_tensor({"b", {UINT64_MAX}, 0, 96}), "too large"},
      {"ElementsOverflow", with_tensor({"b", {kHuge, 4}, 0, 96}), "too large"},
      {"ElementsWrapToSmall", with_tensor({"b", {uint64_t{1} << 32, uint64_t{1} << 32, 8}, 0, 96}),
       "too large"},
      {"BytesOverflow", with_tensor({"b", {kHuge}, 0, 96}), "too large"},
      {"TypeRemoved", with_tensor({"b", {32}, 4, 96}), "type number 4"},
      {"TypeNegative", with_tensor({"b", {32}, UINT32_MAX, 96}), "type number 4294967295"},
      {"RowNotWholeBlocks", with_tensor({"b", {33}, 8, 96}), "rows of 33 elements"},
      {"RowNotWholeBlocksButAll", with_tensor({"b", {16, 2}, 8, 96}), "rows of 16 elements"},
      {"OffsetMisaligned", with_tensor({"b", {8}, 0, 97}), "no multiple of the alignment 32"},
      {"OffsetOverlaps", with_tensor({"b", {8}, 0, 64}), "\"a\" and the tensor \"b\" overlap"},
      {"OffsetPastEnd", with_tensor({"b", {8}, 0, 128}), "past the end"},
      {"OffsetWraps", with_tensor({"b", {8}, 0, UINT64_MAX - 31}), "past the end"},
      {"DataPastEnd", with_tensor({"b", {9}, 0, 96}), "past the end"},
      {"DataMissing", [](RawFile& raw) { raw.data_bytes = 0; }, "past the end"},
  };
}

class BadFiles : public testing::TestWithParam<BadFile> {};

TEST_P(BadFiles, IsASentenceThatNamesTheFileAndTheFault) {
  RawFile raw;
  GetParam().damage(raw);
  const auto file = open_bytes(raw.bytes());
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr(GetParam().expected));
  EXPECT_THAT(file.error().message, HasSubstr("gguf_file_test_"));
  for (const char c : file.error().message)
    ASSERT_TRUE(c >= 0x20 && c < 0x7f) << "raw byte " << static_cast<int>(c);
}

std::string case_name(const testing::TestParamInfo<BadFile>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(Header, BadFiles, testing::ValuesIn(bad_headers()), case_name);
INSTANTIATE_TEST_SUITE_P(Metadata, BadFiles, testing::ValuesIn(bad_metadata()), case_name);
INSTANTIATE_TEST_SUITE_P(Tensors, BadFiles, testing::ValuesIn(bad_tensors()), case_name);

TEST(GgufFile, LookUpsCheckTypeAndRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  uint64_t nan_bits = 0;
  std::memcpy(&nan_bits, &nan, sizeof(nan));
  RawFile raw;
  raw.pairs = {pair("negative", ValueType::kInt8, "\xff"), pair("nan", ValueType::kFloat64, u64(nan_bits)),
               pair("flag", ValueType::kBool, "\1"), array_pair(10, 1, u64(UINT64_MAX)),
               pair("nans", ValueType::kArray, u32(12) + u64(1) + u64(nan_bits))};
  const auto file = open_bytes(raw.bytes());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->get_float("negative"), -1.0);
  EXPECT_EQ(file->get_bool("flag"), true);
  EXPECT_THAT(file->get_uint("negative").error().message, HasSubstr("\"negative\" is negative"));
  EXPECT_THAT(file->get_uint("absent").error().message, HasSubstr("\"absent\" is missing"));
  EXPECT_THAT(file->get_uint("flag").error().message, HasSubstr("not an integer"));
  EXPECT_THAT(file->get_float("nan").error().message, HasSubstr("not finite"));
  EXPECT_THAT(file->get_floats("nans").error().message, HasSubstr("not finite"));
  EXPECT_THAT(file->get_ints("list").error().message, HasSubstr("too large"));
  EXPECT_FALSE(file->get_strings("list"));
  EXPECT_FALSE(file->get_ints("flag"));
  EXPECT_FALSE(file->get_string("flag"));
  EXPECT_FALSE(file->get_bool("negative"));
}

struct RealModel {
  const char* name;
  size_t n_tensors;
  size_t n_tokens;
};

void PrintTo(const RealModel& model, std::ostream* out) {
  *out << model.name;
}

class RealModels : public testing::TestWithParam<RealModel> {};

TEST_P(RealModels, OpensAndEveryTensorDequantises) {
  const char* folder = std::getenv("LAZYFILL_TEST_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "LAZYFILL_TEST_MODELS does not name the folder of the models";
  const std::string path = std::string(folder) + "/" + GetParam().name;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const auto file = File::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), GetParam().n_tensors);
  EXPECT_EQ(file->get_strings("tokenizer.ggml.tokens")->size(), GetParam().n_tokens);
  std::vector<float> row;
  std::vector<std::byte> blocks;
  for (const TensorInfo& tensor : file->tensors()) {
    row.resize(tensor.shape[0]);
    blocks.resize(tensor.row_bytes());
    ASSERT_TRUE(file->read_rows(tensor, 0, 1, blocks.data())) << tensor.name;
    ASSERT_TRUE(dequantize(tensor.type, blocks.data(), row.size(), row.data())) << tensor.name;
    for (const float value : row) ASSERT_LT(std::abs(value), 1e4F) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(GgufFile, RealModels,
                         testing::Values(RealModel{"SmolLM2-135M-Instruct.Q4_1.gguf", 272, 49152},
                                         RealModel{"gemma-3-270m-q4_k_m.gguf", 236, 262144}));

}  // namespace
}  // namespace lazyfill::gguf
