// A model file in lines of text, so that a fuzzer changes what a file says and not where its bytes lie.
//   token TYPE SCORE TEXT    one more token; in TEXT \n is a line's end
//   merge LEFT RIGHT
//   uint KEY N, int KEY N, real KEY X, bool KEY N, text KEY TEXT    metadata, beside or in place of what is
//   there drop NAME                leaves out a key or a tensor n_scores N, n_types N    how many are
//   written; as many as tokens, if not said rows N, head N           rows of the embedding and of the head;
//   head 0: tied to the embedding sizes D_MODEL D_FF N_LAYERS N_HEADS N_KV_HEADS shape NAME N N... claims
//   another shape; the data grows or shrinks to it value NAME INDEX X       one number of a tensor lazy
//   SCHEDULE, policy N, temperature X, endless    how it is asked say TEXT                 what is tokenised
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/writer.h"
#include "lazyfill/types.h"

namespace lazyfill::fuzz {

class Recipe {
 public:
  explicit Recipe(std::string_view lines) {
    set_defaults();
    while (!lines.empty()) {
      std::string_view line = next_part(lines, '\n');
      const std::string_view word = next_part(line, ' ');
      read_model(word, line);
      read_question(word, line);
      read_changes(word, line);
    }
  }

  std::string schedule = "off";
  Policy policy = Policy::kLazy;
  float temperature = 0;
  bool stops_at_end = true;
  std::string text = "ab";

  // Fails where the format itself cannot say it.
  Result<std::vector<std::byte>> file() const {
    gguf::Writer writer;
    for (const auto& [key, value] : metadata()) writer.set(key, value);
    for (const auto& [name, tensor] : tensors()) {
      auto added = writer.add_tensor(name, gguf::TensorType::kF32, tensor.shape,
                                     std::as_bytes(std::span(tensor.values)));
      if (!added) return tl::unexpected(added.error());
    }
    return writer.bytes();
  }

 private:
  static constexpr uint64_t kMostRows = 400;
  static constexpr uint64_t kMostElements = 8192;

  struct Token {
    int64_t type = 1;
    double score = 0;
    std::string text;
  };
  struct Tensor {
    std::vector<uint64_t> shape;  // innermost first
    std::vector<float> values;
  };
  struct OneValue {
    std::string tensor;
    size_t index = 0;
    float value = 0;
  };
  using Metadata = std::map<std::string, gguf::Value>;
  using Tensors = std::map<std::string, Tensor>;

  static std::string_view next_part(std::string_view& rest, char end) {
    const size_t n = std::min(rest.find(end), rest.size());
    const std::string_view part = rest.substr(0, n);
    rest.remove_prefix(std::min(n + 1, rest.size()));
    return part;
  }
  static uint64_t number(std::string_view text) {
    return std::strtoull(std::string(text).c_str(), nullptr, 10);
  }
  static uint64_t number_to(std::string_view text, uint64_t max) { return std::min(number(text), max); }
  static double real(std::string_view text) { return std::strtod(std::string(text).c_str(), nullptr); }
  static std::string unescaped(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool escape = text.substr(i, 2) == "\\n";
      out += escape ? '\n' : text[i];
      i += escape ? 1 : 0;
    }
    return out;
  }

  void set_defaults() {
    said_["general.architecture"] = std::string("llama");
    said_["llama.context_length"] = uint64_t{64};
    said_["llama.attention.layer_norm_rms_epsilon"] = 1e-5;
    said_["tokenizer.ggml.model"] = std::string("gpt2");
    said_["tokenizer.ggml.pre"] = std::string("gpt-2");
  }

  void read_model(std::string_view word, std::string_view line) {
    if (word == "token" && tokens_.size() < kMostRows) {
      Token token;
      token.type = std::atoi(std::string(next_part(line, ' ')).c_str());
      token.score = real(next_part(line, ' '));
      token.text = unescaped(line);
      tokens_.push_back(std::move(token));
    }
    if (word == "merge" && merges_.size() < kMostRows) merges_.emplace_back(line);
    if (word == "n_scores") n_scores_ = static_cast<int>(number_to(line, kMostRows));
    if (word == "n_types") n_types_ = static_cast<int>(number_to(line, kMostRows));
    if (word == "rows") n_rows_ = static_cast<int>(number_to(line, kMostRows));
    if (word == "head") n_head_ = static_cast<int>(number_to(line, kMostRows));
    if (word == "sizes") {
      d_model_ = number_to(next_part(line, ' '), 64);
      d_ff_ = number_to(next_part(line, ' '), 64);
      n_layers_ = number_to(next_part(line, ' '), 3);
      n_heads_ = number_to(next_part(line, ' '), 8);
      n_kv_heads_ = number_to(next_part(line, ' '), 8);
    }
  }

  void read_question(std::string_view word, std::string_view line) {
    if (word == "lazy") schedule = line;
    if (word == "policy") policy = static_cast<Policy>(number_to(line, static_cast<int>(Policy::kGemFilter)));
    if (word == "temperature") temperature = static_cast<float>(real(line));
    if (word == "endless") stops_at_end = false;
    if (word == "say") text = unescaped(line.substr(0, 200));
  }

  void read_changes(std::string_view word, std::string_view line) {
    const auto key = [&] { return std::string(next_part(line, ' ')); };
    if (word == "drop") dropped_.emplace_back(line);
    if (word == "uint") said_[key()] = number(line);
    if (word == "int") said_[key()] = static_cast<int64_t>(std::atoll(std::string(line).c_str()));
    if (word == "real") said_[key()] = real(line);
    if (word == "bool") said_[key()] = line == "1";
    if (word == "text") said_[key()] = unescaped(line);
    if (word == "shape") {
      std::vector<uint64_t>& shape = shapes_[key()];
      while (!line.empty() && shape.size() < 4)
        shape.push_back(number_to(next_part(line, ' '), kMostElements));
    }
    if (word == "value") {
      const std::string tensor = key();
      const size_t index = number(next_part(line, ' '));
      values_.push_back({tensor, index, static_cast<float>(real(line))});
    }
  }

  Metadata metadata() const {
    Metadata metadata;
    metadata["llama.block_count"] = n_layers_;
    metadata["llama.embedding_length"] = d_model_;
    metadata["llama.feed_forward_length"] = d_ff_;
    metadata["llama.attention.head_count"] = n_heads_;
    metadata["llama.attention.head_count_kv"] = n_kv_heads_;
    std::vector<std::string> texts;
    std::vector<int64_t> types;
    std::vector<double> scores;
    for (const Token& token : tokens_) {
      texts.push_back(token.text);
      types.push_back(token.type);
      scores.push_back(token.score);
    }
    if (n_types_ >= 0) types.resize(static_cast<size_t>(n_types_), 1);
    if (n_scores_ >= 0) scores.resize(static_cast<size_t>(n_scores_));
    metadata["tokenizer.ggml.tokens"] = gguf::Array(std::move(texts));
    metadata["tokenizer.ggml.token_type"] = gguf::Array(std::move(types));
    metadata["tokenizer.ggml.scores"] = gguf::Array(std::move(scores));
    metadata["tokenizer.ggml.merges"] = gguf::Array(merges_);
    for (const auto& [key, value] : said_) metadata[key] = value;
    for (const std::string& key : dropped_) metadata.erase(key);
    return metadata;
  }

  // Numbers around 0 that differ, so that one logit is the highest.
  static Tensor matrix(uint64_t n_out, uint64_t n_in) {
    Tensor tensor{{n_in, n_out}, std::vector<float>(n_in * n_out)};
    uint32_t state = static_cast<uint32_t>(n_out * 31 + n_in);
    for (float& value : tensor.values) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(static_cast<int>(state >> 24) - 128) / 256;
    }
    return tensor;
  }
  static Tensor ones(uint64_t n) { return {{n}, std::vector<float>(n, 1.0F)}; }

  Tensors tensors() const {
    Tensors tensors;
    const uint64_t rows = n_rows_ >= 0 ? static_cast<uint64_t>(n_rows_) : tokens_.size();
    tensors["token_embd.weight"] = matrix(rows, d_model_);
    if (n_head_ != 0)
      tensors["output.weight"] = matrix(n_head_ > 0 ? static_cast<uint64_t>(n_head_) : rows, d_model_);
    tensors["output_norm.weight"] = ones(d_model_);
    const uint64_t kv_dim = n_heads_ == 0 ? 0 : d_model_ / n_heads_ * n_kv_heads_;
    for (uint64_t layer = 0; layer < n_layers_; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      for (const char* norm : {"attn_norm.weight", "ffn_norm.weight"})
        tensors[prefix + norm] = ones(d_model_);
      for (const char* square : {"attn_q.weight", "attn_output.weight"})
        tensors[prefix + square] = matrix(d_model_, d_model_);
      for (const char* flat : {"attn_k.weight", "attn_v.weight"})
        tensors[prefix + flat] = matrix(kv_dim, d_model_);
      for (const char* up : {"ffn_gate.weight", "ffn_up.weight"})
        tensors[prefix + up] = matrix(d_ff_, d_model_);
      tensors[prefix + "ffn_down.weight"] = matrix(d_model_, d_ff_);
    }
    change(tensors);
    return tensors;
  }

  void change(Tensors& tensors) const {
    for (const auto& [name, shape] : shapes_) {
      uint64_t n_elements = 1;
      for (const uint64_t dim : shape) n_elements = std::min(n_elements * dim, kMostElements);
      tensors[name].shape = shape;
      tensors[name].values.resize(n_elements);
    }
    for (const OneValue& one : values_) {
      const auto found = tensors.find(one.tensor);
      if (found != tensors.end() && one.index < found->second.values.size())
        found->second.values[one.index] = one.value;
    }
    for (const std::string& name : dropped_) tensors.erase(name);
  }

  std::vector<Token> tokens_;
  std::vector<std::string> merges_;
  Metadata said_;
  std::vector<std::string> dropped_;
  std::map<std::string, std::vector<uint64_t>> shapes_;
  std::vector<OneValue> values_;
  int n_scores_ = -1;  // -1, here and below: as many as there are tokens
  int n_types_ = -1;
  int n_rows_ = -1;
  int n_head_ = -1;
  uint64_t d_model_ = 8;
  uint64_t d_ff_ = 8;
  uint64_t n_layers_ = 2;
  uint64_t n_heads_ = 1;
  uint64_t n_kv_heads_ = 1;
};

}  // namespace lazyfill::fuzz
