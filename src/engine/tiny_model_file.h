// A model of two layers as its parts, right as it stands: tests of files that lie break one part and write
// it.
#pragma once

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "gguf/writer.h"

namespace lazyfill {

struct TinyModelFile {
  struct Tensor {
    gguf::TensorType type = gguf::TensorType::kF32;
    std::vector<uint64_t> shape;  // innermost first
    std::vector<std::byte> data;
  };

  static constexpr uint64_t kDModel = 32;
  static constexpr uint64_t kKvDim = 16;
  static constexpr uint64_t kDFf = 64;
  static constexpr uint64_t kVocab = 260;

  struct Sizes {
    uint64_t n_layers = 2;
    uint64_t d_model = kDModel;
    uint64_t d_ff = kDFf;
    uint64_t n_heads = 4;
    uint64_t n_kv_heads = 2;
    uint64_t context_length = 128;
    bool q8 = false;  // matrices of the layers in Q8_0

    uint64_t kv_dim() const { return d_model / n_heads * n_kv_heads; }
  };

  std::map<std::string, gguf::Value> metadata;
  std::map<std::string, Tensor> tensors;

  TinyModelFile() : TinyModelFile(Sizes{}) {}
  explicit TinyModelFile(const Sizes& sizes) : sizes_(sizes) {
    set("general.architecture", std::string("llama"));
    set_uint("llama.block_count", sizes.n_layers);
    set_uint("llama.embedding_length", sizes.d_model);
    set_uint("llama.feed_forward_length", sizes.d_ff);
    set_uint("llama.attention.head_count", sizes.n_heads);
    set_uint("llama.attention.head_count_kv", sizes.n_kv_heads);
    set_uint("llama.context_length", sizes.context_length);
    set("llama.attention.layer_norm_rms_epsilon", 1e-5);
    add_tokenizer();
    add_matrix("token_embd.weight", kVocab, sizes.d_model);
    add_matrix("output.weight", kVocab, sizes.d_model);
    add_ones("output_norm.weight", sizes.d_model);
    for (uint64_t layer = 0; layer < sizes.n_layers; ++layer) add_layer("blk." + std::to_string(layer) + ".");
  }

  void set(const std::string& key, gguf::Value value) { metadata[key] = std::move(value); }
  void set_uint(const std::string& key, uint64_t value) { set(key, gguf::Value(value)); }
  template <class T>
  void set_array(const std::string& key, std::vector<T> values) {
    set(key, gguf::Array(std::move(values)));
  }

  void set_floats(const std::string& name, const std::vector<float>& values) {
    Tensor& tensor = tensors.at(name);
    tensor.type = gguf::TensorType::kF32;
    tensor.data.resize(values.size() * sizeof(float));
    std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  }
  void set_float(const std::string& name, size_t index, float value) {
    std::memcpy(tensors.at(name).data.data() + index * sizeof(float), &value, sizeof(float));
  }
  // Takes rows away or adds some of zeros.
  void set_rows(const std::string& name, uint64_t n_rows) {
    Tensor& tensor = tensors.at(name);
    tensor.shape.back() = n_rows;
    tensor.data.resize(n_rows * kDModel * sizeof(float));
  }
  // Zeros in blocks of another type, of the same shape.
  void set_type(const std::string& name, gguf::TensorType type) {
    Tensor& tensor = tensors.at(name);
    const auto traits = *gguf::traits_of(type);
    uint64_t n_elements = 1;
    for (const uint64_t dim : tensor.shape) n_elements *= dim;
    tensor.type = type;
    tensor.data.assign(n_elements / traits.block_elements * traits.block_bytes, std::byte{0});
  }

  static std::vector<std::string> tokens() {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_token(byte));
    for (const char* special : {"<s>", "</s>", "th", "<more>"}) tokens.emplace_back(special);
    return tokens;
  }

  Result<void> save(const std::string& path) const {
    gguf::Writer writer;
    for (const auto& [key, value] : metadata) writer.set(key, value);
    for (const auto& [name, tensor] : tensors) {
      auto added = writer.add_tensor(name, tensor.type, tensor.shape, tensor.data);
      if (!added) return added;
    }
    return writer.save(path);
  }

 private:
  // GPT-2's alphabet: visible bytes stand for themselves, the others for U+0100 and up.
  static std::string byte_token(int byte) {
    const auto visible = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    int code_point = byte;
    if (!visible(byte)) {
      code_point = 256;
      for (int b = 0; b < byte; ++b) code_point += visible(b) ? 0 : 1;
    }
    if (code_point < 128) return std::string(1, static_cast<char>(code_point));
    return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
  }

  void add_tokenizer() {
    set("tokenizer.ggml.model", std::string("gpt2"));
    set("tokenizer.ggml.pre", std::string("gpt-2"));
    set_array("tokenizer.ggml.tokens", tokens());
    std::vector<int64_t> types(kVocab, 1);
    for (const size_t control : {256, 257, 259}) types[control] = 3;
    set_array("tokenizer.ggml.token_type", types);
    set_array("tokenizer.ggml.merges", std::vector<std::string>{"t h"});
    set_uint("tokenizer.ggml.bos_token_id", 256);
    set_uint("tokenizer.ggml.eos_token_id", 257);
  }

  void add_matrix(const std::string& name, uint64_t n_out, uint64_t n_in) {
    tensors[name].shape = {n_in, n_out};
    if (sizes_.q8 && name.starts_with("blk.")) return set_random_q8(tensors[name], n_out * n_in);
    std::vector<float> values(n_out * n_in);
    std::normal_distribution<float> normal(0, 0.2F);
    for (float& value : values) value = normal(random_);
    set_floats(name, values);
  }
  // Blocks of a scale and 32 codes, weights of up to 0.3.
  void set_random_q8(Tensor& tensor, uint64_t n_elements) {
    tensor.type = gguf::TensorType::kQ8_0;
    for (uint64_t block = 0; block < n_elements / 32; ++block) {
      const uint16_t scale = float_to_half(0.3F / 127);
      const auto* bytes = reinterpret_cast<const std::byte*>(&scale);
      tensor.data.insert(tensor.data.end(), bytes, bytes + 2);
      for (int i = 0; i < 32; ++i) tensor.data.push_back(static_cast<std::byte>(random_() % 255 - 127));
    }
  }
  void add_ones(const std::string& name, uint64_t n) {
    tensors[name].shape = {n};
    set_floats(name, std::vector<float>(n, 1.0F));
  }
  void add_layer(const std::string& prefix) {
    add_ones(prefix + "attn_norm.weight", sizes_.d_model);
    add_ones(prefix + "ffn_norm.weight", sizes_.d_model);
    add_matrix(prefix + "attn_q.weight", sizes_.d_model, sizes_.d_model);
    add_matrix(prefix + "attn_k.weight", sizes_.kv_dim(), sizes_.d_model);
    add_matrix(prefix + "attn_v.weight", sizes_.kv_dim(), sizes_.d_model);
    add_matrix(prefix + "attn_output.weight", sizes_.d_model, sizes_.d_model);
    add_matrix(prefix + "ffn_gate.weight", sizes_.d_ff, sizes_.d_model);
    add_matrix(prefix + "ffn_up.weight", sizes_.d_ff, sizes_.d_model);
    add_matrix(prefix + "ffn_down.weight", sizes_.d_model, sizes_.d_ff);
  }

  Sizes sizes_;
  std::mt19937 random_{1};
};

}  // namespace lazyfill
