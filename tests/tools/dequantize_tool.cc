// Expands raw blocks to fp32, for the comparison with the gguf Python package in
// tests/python/test_dequantize.py:
//   dequantize_tool TYPE_NUMBER BLOCKS.bin VALUES.bin
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "gguf/tensor_type.h"

int main(int argc, char** argv) {
  using namespace lazyfill::gguf;
  if (argc != 4) {
    std::fprintf(stderr, "usage: dequantize_tool TYPE_NUMBER BLOCKS.bin VALUES.bin\n");
    return 2;
  }
  const auto type = static_cast<TensorType>(std::strtoul(argv[1], nullptr, 10));
  const auto traits = traits_of(type);
  if (!traits) {
    std::fprintf(stderr, "unknown type number %s\n", argv[1]);
    return 1;
  }
  std::ifstream in(argv[2], std::ios::binary);
  const std::vector<char> blocks{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::vector<float> values(blocks.size() / traits->block_bytes * traits->block_elements);
  const auto done =
      dequantize(type, reinterpret_cast<const std::byte*>(blocks.data()), values.size(), values.data());
  if (!done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  std::ofstream out(argv[3], std::ios::binary);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  return out.flush() ? 0 : 1;
}
