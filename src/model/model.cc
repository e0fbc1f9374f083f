#include "model/model.h"

#include <algorithm>

#include "kernels/matmul.h"

namespace lazyfill {
namespace {

constexpr size_t kLogitRows = 96;        // at a time: the weights are read once for them
constexpr size_t kCappedLogits = 16384;  // by one thread at a time

}  // namespace

Result<Model> Model::load(const gguf::File& file, const Kernels& kernels, ActivationBits activation_bits,
                          Team team) {
  auto config = read_config(file);
  if (!config) return tl::unexpected(config.error());
  auto weights = load_weights(file, *config, kernels, activation_bits, team);
  if (!weights) return tl::unexpected(weights.error());
  return Model{std::move(*config), std::move(*weights), &kernels};
}

Result<void> Model::embed(std::span<const int32_t> ids, float* out) const {
  const auto& [file, table] = weights.embedding;
  std::vector<std::byte> row(table->row_bytes());
  for (int32_t id : ids) {
    const auto index = static_cast<uint64_t>(id);
    auto done = file->read_rows(*table, index, index + 1, row.data());
    if (done) done = gguf::dequantize(table->type, row.data(), config.d_model, out);
    if (!done) return done;
    for (size_t i = 0; i < config.d_model; ++i) out[i] *= config.embedding_scale;
    out += config.d_model;
  }
  return {};
}

void Model::logits(const float* hidden, size_t n_rows, float* out, LayerScratch& scratch, Team team) const {
  LayerScratch::PerThread& mine = scratch.of(0);
  mine.normed.ensure(kLogitRows * config.d_model);
  for (size_t begin = 0; begin < n_rows; begin += kLogitRows) {
    const size_t n = std::min(kLogitRows, n_rows - begin);
    kernels->rms_norm(hidden + begin * config.d_model, weights.output_norm.data(), config.rms_eps, n,
                      config.d_model, mine.normed.data());
    mine.input.set(*kernels, mine.normed.data(), n, config.d_model);
    const PackedRows& input = mine.input.as(weights.output.row_format, {.n_plain = 0});
    matmul(*kernels, weights.output, input, out + begin * config.n_vocab, config.n_vocab, false, team);
  }
  if (config.logit_softcap == 0) return;
  const size_t n_logits = n_rows * config.n_vocab;
  team.for_each((n_logits + kCappedLogits - 1) / kCappedLogits, [&](size_t part, size_t) {
    const size_t begin = part * kCappedLogits;
    kernels->softcap(out + begin, config.logit_softcap, std::min(kCappedLogits, n_logits - begin));
  });
}

}  // namespace lazyfill
