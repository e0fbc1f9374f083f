#include "model/weights.h"

#include <set>
#include <string>

#include "base/quoted.h"
#include "gguf/finite.h"
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
  // With `only_check` everything is looked up and nothing read.
  Loader(const gguf::File& file, const Kernels& kernels, Team team, bool only_check)
      : file_(file), kernels_(kernels), team_(team), only_check_(only_check) {}

  EmbeddingTable embedding(const std::string& name, size_t n_vocab, size_t d_model) {
    const gguf::TensorInfo* tensor = find(name, {d_model, n_vocab});
    return tensor == nullptr ? EmbeddingTable{} : EmbeddingTable{&file_, tensor};
  }

  PackedMatrix matrix(const std::string& name, size_t n_out, size_t n_in) {
    return part(name, {n_in, n_out}, 0, n_out);
  }

  // The matrix [n_out, shape[0]] whose outputs are rows of a tensor that holds several matrices.
  PackedMatrix part(const std::string& name, const std::vector<uint64_t>& shape, size_t first_row,
                    size_t n_out) {
    const gguf::TensorInfo* tensor = find(name, shape);
    return tensor == nullptr || only_check_ ? PackedMatrix{} : pack(*tensor, first_row, n_out);
  }

  // A matrix that keeps its inputs in fp32 whatever its type is in the file.
  PackedMatrix float_matrix(const std::string& name, size_t n_out, size_t n_in) {
    const std::vector<float> values = floats(name, {n_in, n_out});
    if (values.empty()) return {};
    const auto* data = reinterpret_cast<const std::byte*>(values.data());
    auto packed = pack_matrix(kernels_, {gguf::TensorType::kF32, data, n_out, n_in}, team_);
    if (packed) return std::move(*packed);
    set_error({packed.error().code, name + ": " + packed.error().message});
    return {};
  }

  std::vector<float> vector(const std::string& name, size_t n) { return floats(name, {n}); }
  std::vector<float> vector_if_any(const std::string& name, size_t n) {
    return has(name) ? vector(name, n) : std::vector<float>();
  }

  bool only_checks() const { return only_check_; }
  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  bool failed() const { return failed_; }
  const Error& error() const { return error_; }

  // A tensor that nothing has asked for: an answer computed without it would be wrong.
  Result<void> all_used() const {
    for (const gguf::TensorInfo& tensor : file_.tensors()) {
      const bool scales_rope = tensor.name.starts_with("rope_f");  // the architecture has read these
      if (scales_rope || used_.contains(tensor.name)) continue;
      return fail(ErrorCode::kUnsupported, "the file holds the tensor " + quoted(tensor.name) +
                                               ", which its architecture does not have here");
    }
    return {};
  }

 private:
  PackedMatrix pack(const gguf::TensorInfo& tensor, size_t first_row, size_t n_out) {
    auto read = [&](size_t begin, size_t end, std::byte* to) {
      auto done = file_.read_rows(tensor, first_row + begin, first_row + end, to);
      return done ? gguf::check_finite(tensor.type, {to, (end - begin) * tensor.row_bytes()}) : done;
    };
    auto packed = pack_matrix(kernels_, {tensor.type, nullptr, n_out, tensor.shape[0]}, read, team_);
    if (packed) return std::move(*packed);
    set_error({packed.error().code, tensor.name + ": " + packed.error().message});
    return {};
  }

  std::vector<float> floats(const std::string& name, const std::vector<uint64_t>& shape) {
    const gguf::TensorInfo* tensor = find(name, shape);
    if (tensor == nullptr || only_check_) return {};
    std::vector<float> values(tensor->n_elements);
    std::vector<std::byte> blocks(tensor->n_bytes);
    auto done = file_.read_rows(*tensor, 0, tensor->n_rows(), blocks.data());
    if (done) done = gguf::check_finite(tensor->type, blocks);
    if (done) done = gguf::dequantize(tensor->type, blocks.data(), values.size(), values.data());
    if (!done) set_error({done.error().code, name + ": " + done.error().message});
    return values;
  }

  const gguf::TensorInfo* find(const std::string& name, const std::vector<uint64_t>& shape) {
    if (failed_) return nullptr;
    used_.insert(name);
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
  bool only_check_;
  std::set<std::string> used_;
  bool failed_ = false;
  Error error_;
};

// Queries, keys and values: three matrices, or one that holds them one below the other.
void load_projections(Loader& load, const ModelConfig& config, const std::string& prefix,
                      LayerWeights& layer) {
  const size_t d_model = config.d_model;
  const size_t q_dim = config.q_dim();
  const size_t kv_dim = config.kv_dim();
  const std::string fused = prefix + "attn_qkv.weight";
  if (load.has(fused)) {
    const std::vector<uint64_t> shape = {d_model, q_dim + 2 * kv_dim};
    layer.q = load.part(fused, shape, 0, q_dim);
    layer.k = load.part(fused, shape, q_dim, kv_dim);
    layer.v = load.part(fused, shape, q_dim + kv_dim, kv_dim);
  } else {
    layer.q = load.matrix(prefix + "attn_q.weight", q_dim, d_model);
    layer.k = load.matrix(prefix + "attn_k.weight", kv_dim, d_model);
    layer.v = load.matrix(prefix + "attn_v.weight", kv_dim, d_model);
  }
  // Some Llamas have biases too, and in the other products of a layer.
  if (config.qkv_bias || load.has(prefix + "attn_q.bias")) {
    layer.q_bias = load.vector(prefix + "attn_q.bias", q_dim);
    layer.k_bias = load.vector(prefix + "attn_k.bias", kv_dim);
    layer.v_bias = load.vector(prefix + "attn_v.bias", kv_dim);
  }
  if (config.qk_norm == QkNorm::kNone) return;
  const bool by_head = config.qk_norm == QkNorm::kHeads;
  layer.q_norm = load.vector(prefix + "attn_q_norm.weight", by_head ? config.head_dim : q_dim);
  layer.k_norm = load.vector(prefix + "attn_k_norm.weight", by_head ? config.head_dim : kv_dim);
}

// One feed-forward, its gate and up perhaps in one tensor; or experts, stacked.
void load_feed_forward(Loader& load, const ModelConfig& config, const std::string& prefix,
                       LayerWeights& layer) {
  const size_t d_model = config.d_model;
  const size_t d_ff = config.d_ff;
  if (config.n_experts > 0) {
    layer.router = load.float_matrix(prefix + "ffn_gate_inp.weight", config.n_experts, d_model);
    const std::vector<uint64_t> wide = {d_model, d_ff, config.n_experts};
    const std::vector<uint64_t> narrow = {d_ff, d_model, config.n_experts};
    // One look at the stacks is enough.
    const size_t n_experts = load.only_checks() ? 1 : config.n_experts;
    for (size_t i = 0; i < n_experts; ++i) {
      layer.experts.push_back({load.part(prefix + "ffn_gate_exps.weight", wide, i * d_ff, d_ff),
                               load.part(prefix + "ffn_up_exps.weight", wide, i * d_ff, d_ff),
                               load.part(prefix + "ffn_down_exps.weight", narrow, i * d_model, d_model)});
    }
    return;
  }
  const std::string gate = prefix + "ffn_gate.weight";
  const std::string up = prefix + "ffn_up.weight";
  const bool fused = config.architecture == "phi3" && !load.has(gate);
  layer.gate = fused ? load.part(up, {d_model, 2 * d_ff}, 0, d_ff) : load.matrix(gate, d_ff, d_model);
  layer.up = fused ? load.part(up, {d_model, 2 * d_ff}, d_ff, d_ff) : load.matrix(up, d_ff, d_model);
  layer.down = load.matrix(prefix + "ffn_down.weight", d_model, d_ff);
  if (!fused) layer.gate_bias = load.vector_if_any(prefix + "ffn_gate.bias", d_ff);
  if (!fused) layer.up_bias = load.vector_if_any(prefix + "ffn_up.bias", d_ff);
  layer.down_bias = load.vector_if_any(prefix + "ffn_down.bias", d_model);
}

LayerWeights load_layer(Loader& load, const ModelConfig& config, size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const size_t d_model = config.d_model;
  LayerWeights layer;
  if (config.pre_norms) layer.attention_norm = load.vector(prefix + "attn_norm.weight", d_model);
  load_projections(load, config, prefix, layer);
  layer.o = load.matrix(prefix + "attn_output.weight", d_model, config.q_dim());
  layer.o_bias = load.vector_if_any(prefix + "attn_output.bias", d_model);
  if (config.post_norms)
    layer.post_attention_norm = load.vector(prefix + "post_attention_norm.weight", d_model);
  if (config.pre_norms) layer.ffn_norm = load.vector(prefix + "ffn_norm.weight", d_model);
  load_feed_forward(load, config, prefix, layer);
  if (config.post_norms) layer.post_ffn_norm = load.vector(prefix + "post_ffw_norm.weight", d_model);
  return layer;
}

ModelWeights load_model(Loader& load, const ModelConfig& config, ActivationBits activation_bits) {
  ModelWeights weights;
  weights.embedding = load.embedding("token_embd.weight", config.n_vocab, config.d_model);
  for (size_t i = 0; i < config.n_layers && !load.failed(); ++i) {
    weights.layers.push_back(load_layer(load, config, i));
    weights.layers.back().precise = precise_products(activation_bits, i, config.n_layers);
  }
  weights.output_norm = load.vector("output_norm.weight", config.d_model);
  for (float& weight : weights.output_norm) weight *= config.logit_scale;  // what follows is linear
  const std::string head = load.has("output.weight") ? "output.weight" : "token_embd.weight";
  weights.output = load.matrix(head, config.n_vocab, config.d_model);
  return weights;
}

uint64_t shared_bytes(const LayerWeights& layer) {
  uint64_t total = 0;
  for (const PackedMatrix* matrix :
       {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down, &layer.router}) {
    total += matrix->bytes.size_bytes();
  }
  return total;
}

uint64_t expert_bytes(const LayerWeights& layer) {
  uint64_t total = 0;
  for (const Expert& expert : layer.experts)
    total += expert.gate.bytes.size_bytes() + expert.up.bytes.size_bytes() + expert.down.bytes.size_bytes();
  return total;
}

}  // namespace

// Rounding to 8 bits adds up over the layers and moves the border of what a pruning layer keeps, so the
// layers where pruning is worth its while have 16. Behind three quarters of them nothing is left to choose,
// and of those only the last one matters: between its rounding and the logits there is no other layer.
// With k8 only queries, keys and values have 16 in those layers: a sixth of the work and most of the error.
PreciseProducts precise_products(ActivationBits bits, size_t layer, size_t n_layers) {
  const bool is_last = layer + 1 == n_layers;
  const bool precise = layer < (3 * n_layers + 3) / 4 || is_last;
  return {precise, bits == ActivationBits::k16 ? precise : is_last};
}

uint64_t ModelWeights::packed_bytes() const {
  uint64_t total = output.bytes.size_bytes();
  for (const LayerWeights& layer : layers) total += shared_bytes(layer) + expert_bytes(layer);
  return total;
}

double ModelWeights::layer_bytes(const ModelConfig& config) const {
  const double used = config.n_experts == 0 ? 0
                                            : static_cast<double>(config.n_experts_used) /
                                                  static_cast<double>(config.n_experts);
  double total = 0;
  for (const LayerWeights& layer : layers) {
    total += static_cast<double>(shared_bytes(layer)) + used * static_cast<double>(expert_bytes(layer));
  }
  return total / static_cast<double>(layers.size());
}

double ModelWeights::step_bytes(const ModelConfig& config) const {
  return layer_bytes(config) * static_cast<double>(layers.size()) +
         static_cast<double>(output.bytes.size_bytes());
}

Result<ModelWeights> load_weights(const gguf::File& file, const ModelConfig& config, const Kernels& kernels,
                                  ActivationBits activation_bits, Team team) {
  // A file that does not fit is refused before gigabytes of it are read.
  Loader check(file, kernels, team, true);
  (void)load_model(check, config, activation_bits);
  if (check.failed()) return tl::unexpected(check.error());
  if (auto used = check.all_used(); !used) return tl::unexpected(used.error());
  Loader load(file, kernels, team, false);
  ModelWeights weights = load_model(load, config, activation_bits);
  if (load.failed()) return tl::unexpected(load.error());
  return weights;
}

}  // namespace lazyfill
