// Opens whatever bytes libFuzzer thinks of as a GGUF file and reads all that the reader says is there.
//   fuzz/make_gguf_corpus.py SEEDS
//   build/fuzz/bin/gguf_fuzz -dict=fuzz/gguf.dict -max_len=4096 -max_total_time=60 CORPUS SEEDS
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gguf/file.h"
#include "gguf/finite.h"

namespace {

// Touches what open() promised: every tensor's bytes, every value of a type this build reads.
void read_everything(const lazyfill::gguf::File& file) {
  for (const auto& [key, value] : file.metadata()) {
    (void)file.get_uint(key);
    (void)file.get_float(key);
    (void)file.get_string(key);
    (void)file.get_bool(key);
    (void)file.get_strings(key);
    (void)file.get_ints(key);
    (void)file.get_floats(key);
  }
  for (const auto& tensor : file.tensors()) {
    std::vector<std::byte> blocks(tensor.n_bytes);
    if (!file.read_rows(tensor, 0, tensor.n_rows(), blocks.data())) __builtin_trap();
    std::vector<float> values(tensor.n_elements);
    (void)lazyfill::gguf::check_finite(tensor.type, blocks);
    (void)lazyfill::gguf::dequantize(tensor.type, blocks.data(), values.size(), values.data());
    if (file.find_tensor(tensor.name) != &tensor) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("gguf_fuzz", MFD_CLOEXEC);
  if (fd < 0) return 0;
  if (write(fd, data, size) == static_cast<ssize_t>(size)) {
    const auto file = lazyfill::gguf::File::open("/proc/self/fd/" + std::to_string(fd));
    if (file) {
      read_everything(*file);
    } else if (file.error().message.empty()) {
      __builtin_trap();
    }
  }
  close(fd);
  return 0;
}
