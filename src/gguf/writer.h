// Writes GGUF files (version 3, little-endian): for tests that craft models and for tools that change one.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gguf/file.h"

namespace lazyfill::gguf {

// Values are the reader's, so what File read can be written again and reads back equal. Widths are the
// narrowest that other readers expect: 32 bits for integers that fit and for floats that lose nothing,
// else 64.
class Writer {
 public:
  // A later value replaces an earlier one. "general.alignment" also sets the alignment of the tensors' data.
  void set(std::string key, Value value);

  // Takes a copy of the data. Errors: a name that is empty, overlong or taken, a shape that the type cannot
  // have, a size that does not follow from both.
  Result<void> add_tensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                          std::span<const std::byte> data);

  // The whole file. The last tensor is padded too. Fails for an alignment that the reader would refuse.
  Result<std::vector<std::byte>> bytes() const;
  Result<void> save(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    std::vector<std::byte> data;
  };

  std::map<std::string, Value, std::less<>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace lazyfill::gguf
