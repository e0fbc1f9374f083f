// A GGUF file (versions 2 and 3, little-endian), checked: after open() succeeds, every tensor lies inside the
// file and every string and array is in memory. The tensors' data are read when they are asked for. A model
// that is split into several files is one File.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/input_file.h"
#include "gguf/tensor_type.h"

namespace lazyfill::gguf {

// Integers are widened to int64 or uint64, floats to double: consumers care for the value, not its width.
using Array = std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>,
                           std::vector<bool>, std::vector<std::string>>;
using Value = std::variant<int64_t, uint64_t, double, bool, std::string, Array>;

struct Part;  // split.h

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t>
      shape;  // innermost dimension first, as in the file: a [n_out, n_in] matrix is {n_in, n_out}
  uint64_t offset_bytes = 0;  // from the start of its file
  uint64_t n_elements = 0;
  uint64_t n_bytes = 0;
  size_t part = 0;  // which of the model's files holds it

  uint64_t n_rows() const { return n_elements / shape[0]; }
  uint64_t row_bytes() const { return n_bytes / n_rows(); }
};

class File {
 public:
  // Of a split model `path` is any part; the others are opened with it.
  static Result<File> open(const std::string& path);

  uint32_t version() const { return version_; }
  const std::map<std::string, Value, std::less<>>& metadata() const { return metadata_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  const Value* find(std::string_view key) const;               // null when absent
  const TensorInfo* find_tensor(std::string_view name) const;  // null when absent

  // Rows [begin, end) of the tensor, row_bytes() each: everything but its first dimension counts as rows.
  // Fails where the file has become shorter since it was opened. Threads may read at the same time.
  Result<void> read_rows(const TensorInfo& tensor, uint64_t begin, uint64_t end, std::byte* to) const;
  // The tensor's first `to.size()` bytes, at most n_bytes of them. Fails as read_rows does.
  Result<void> read_first(const TensorInfo& tensor, std::span<std::byte> to) const;

  // Typed look-ups: an error sentence names the key when it is absent, of another type, or out of range.
  Result<uint64_t> get_uint(std::string_view key) const;  // any integer type, not negative
  Result<double> get_float(std::string_view key) const;   // a float or an integer; finite
  Result<std::string> get_string(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::vector<std::string>> get_strings(std::string_view key) const;
  Result<std::vector<int64_t>> get_ints(std::string_view key) const;
  Result<std::vector<float>> get_floats(std::string_view key) const;  // finite

  size_t n_parts() const { return inputs_.size(); }
  uint64_t size_bytes() const;  // of all parts

 private:
  File() = default;
  Result<void> take(std::vector<Part> parts);
  Result<const Value*> require(std::string_view key) const;
  tl::unexpected<Error> key_error(std::string_view key, std::string_view message) const;

  std::vector<InputFile> inputs_;  // the parts in their order; one, where the model is not split
  uint32_t version_ = 0;
  std::map<std::string, Value, std::less<>> metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace lazyfill::gguf
