#include "model/weights.h"

#include <string>

#include "kernels/matmul.h"

namespace lazyfill {
namespace {

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (size_t i = shape.size(); i-- > 0;) text += std::to_string(shape[i]) + (i > 0 ? ", " : "");
  return text + "]";
}

// Loads tensors one after another and remembers the first error, so that the list of a layer's weights below
// reads as a list.
class Loader {
 public:
  Loader(const gguf::File& file, const Kernels& kernels, Team team)
      : file_(file), kernels_(kernels), team_(team) {}

  EmbeddingTable embedding(const std::string& name, size_t n_vocab, size_t d_model) {
    const gguf::TensorInfo* tensor = find(name, {d_model, n_vocab});
    return tensor == nullptr ? EmbeddingTable{} : EmbeddingTable{&file_, tensor};
  }

  PackedMatrix matrix(const std::string& name, size_t n_out, size_t n_in) {
    const gguf::TensorInfo* tensor = find(name, {n_in, n_out});
    return tensor == nullptr ? PackedMatrix{} : pack(*tensor, 0, n_out);
  }

  // The matrix [n_out, shape[0]] whose outputs are the tensor's rows from first_row on.
  PackedMatrix pack(const gguf::TensorInfo& tensor, size_t first_row, size_t n_out) {
    auto read = [&](size_t begin, size_t end, std::byte* to) {
      return file_.read_rows(tensor, first_row + begin, first_row + end, to);
    };
    auto packed = pack_matrix(kernels_, {tensor.type, nullptr, n_out, tensor.shape[0]}, read, team_);
    if (packed) return std::move(*packed);
    set_error({packed.error().code, tensor.name + ": " + packed.error().message});
    return {};
  }

  std::vector<float> vector(const std::string& name, size_t n) {
    const gguf::TensorInfo* tensor = find(name, {n});
    if (tensor == nullptr) return {};
    std::vector<float> values(n);
    std::vector<std::byte> blocks(tensor->n_bytes);
    auto done = file_.read_rows(*tensor, 0, 1, blocks.data());
    if (done) done = gguf::dequantize(tensor->type, blocks.data(), n, values.data());
    if (!done) set_error({done.error().code, name + ": " + done.error().message});
    return values;
  }

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  bool failed() const { return failed_; }
  const Error& error() const { return error_; }

 private:
  const gguf::TensorInfo* find(const std::string& name, const std::vector<uint64_t>& shape) {
    if (failed_) return nullptr;
    const gguf::TensorInfo* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      set_error({ErrorCode::kInvalidFile, "the tensor " + name + " is missing"});
    } else if (tensor->shape != shape) {
      set_error({ErrorCode::kInvalidFile, "the tensor " + name + " has the shape " +
                                              shape_text(tensor->shape) + " where the metadata asks for " +
                                              shape_text(shape)});
      return nullptr;
    }
    return tensor;
  }

  void set_error(Error error) {
    if (failed_) return;
    failed_ = true;
    error_ = std::move(error);
  }

  const gguf::File& file_;
  const Kernels& kernels_;
  Team team_;
  bool failed_ = false;
  Error error_;
};

LayerWeights load_layer(Loader& load, const ModelConfig& config, size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const size_t d_model = config.d_model;
  LayerWeights layer;
  layer.attention_norm = load.vector(prefix + "attn_norm.weight", d_model);
  layer.q = load.matrix(prefix + "attn_q.weight", config.q_dim(), d_model);
  layer.k = load.matrix(prefix + "attn_k.weight", config.kv_dim(), d_model);
  layer.v = load.matrix(prefix + "attn_v.weight", config.kv_dim(), d_model);
  if (config.qk_norm) {
    layer.q_norm = load.vector(prefix + "attn_q_norm.weight", config.head_dim);
    layer.k_norm = load.vector(prefix + "attn_k_norm.weight", config.head_dim);
  }
  layer.o = load.matrix(prefix + "attn_output.weight", d_model, config.q_dim());
  if (config.post_norms)
    layer.post_attention_norm = load.vector(prefix + "post_attention_norm.weight", d_model);
  layer.ffn_norm = load.vector(prefix + "ffn_norm.weight", d_model);
  layer.gate = load.matrix(prefix + "ffn_gate.weight", config.d_ff, d_model);
  layer.up = load.matrix(prefix + "ffn_up.weight", config.d_ff, d_model);
  layer.down = load.matrix(prefix + "ffn_down.weight", d_model, config.d_ff);
  if (config.post_norms) layer.post_ffn_norm = load.vector(prefix + "post_ffw_norm.weight", d_model);
  return layer;
}

// Tensors that this layer function would silently ignore: an answer computed without them is wrong.
Result<void> refuse_unknown_tensors(const gguf::File& file) {
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (tensor.name.ends_with(".bias")) {
      return fail(ErrorCode::kUnsupported,
                  "the file holds bias tensors, which its architecture does not have here");
    }
  }
  return {};
}

// Rounding to 8 bits adds up over the layers and moves the border of what a pruning layer keeps, so the
// layers where pruning is worth its while have 16. Behind three quarters of them nothing is left to choose,
// and of those only the last one matters: between its rounding and the logits there is no other layer.
bool is_precise(size_t layer, size_t n_layers) {
  return layer < (3 * n_layers + 3) / 4 || layer + 1 == n_layers;
}

}  // namespace

uint64_t ModelWeights::packed_bytes() const {
  uint64_t total = output.bytes.size_bytes();
  for (const LayerWeights& layer : layers) {
    for (const PackedMatrix* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      total += matrix->bytes.size_bytes();
    }
  }
  return total;
}

Result<ModelWeights> load_weights(const gguf::File& file, const ModelConfig& config, const Kernels& kernels,
                                  Team team) {
  if (auto known = refuse_unknown_tensors(file); !known) return tl::unexpected(known.error());
  Loader load(file, kernels, team);
  ModelWeights weights;
  weights.embedding = load.embedding("token_embd.weight", config.n_vocab, config.d_model);
  for (size_t i = 0; i < config.n_layers && !load.failed(); ++i) {
    weights.layers.push_back(load_layer(load, config, i));
    weights.layers.back().precise = is_precise(i, config.n_layers);
  }
  weights.output_norm = load.vector("output_norm.weight", config.d_model);
  const std::string head = load.has("output.weight") ? "output.weight" : "token_embd.weight";
  weights.output = load.matrix(head, config.n_vocab, config.d_model);
  if (load.failed()) return tl::unexpected(load.error());
  return weights;
}

}  // namespace lazyfill
