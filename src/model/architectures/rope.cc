#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/architectures/architectures.h"
#include "model/architectures/fields.h"

namespace lazyfill::architectures {
namespace {

// A vector of `n` positive numbers that the rotation is scaled by; empty where the file has none.
Result<std::vector<float>> read_factors(const gguf::File& file, const std::string& name, size_t n) {
  const gguf::TensorInfo* tensor = file.find_tensor(name);
  if (tensor == nullptr) return std::vector<float>{};
  if (tensor->shape != std::vector<uint64_t>{n}) {
    return fail(ErrorCode::kInvalidFile, "the tensor " + name + " must hold " + std::to_string(n) +
                                             " factors, one for each pair that rope.dimension_count turns");
  }
  std::vector<float> factors(n);
  std::vector<std::byte> blocks(tensor->n_bytes);
  auto done = file.read_rows(*tensor, 0, 1, blocks.data());
  if (done) done = gguf::dequantize(tensor->type, blocks.data(), n, factors.data());
  if (!done) return fail(done.error().code, name + ": " + done.error().message);
  if (!std::all_of(factors.begin(), factors.end(), [](float f) { return std::isfinite(f) && f > 0; })) {
    return fail(ErrorCode::kInvalidFile, "the tensor " + name + " holds factors that are not above 0");
  }
  return factors;
}

std::vector<double> divided(std::vector<double> frequencies, const std::vector<float>& factors) {
  for (size_t i = 0; i < factors.size(); ++i) frequencies[i] /= factors[i];
  return frequencies;
}

struct Yarn {
  double factor = 1;
  double n_original = 0;  // tokens of the context before it was stretched
  double extrapolation = 1;
  double beta_fast = 32;  // turns within the original context above which a pair is left as it is ...
  double beta_slow = 1;   // ... and below which it is interpolated in full
  double log_multiplier = 0;
  double magnitude = 0;  // 0: by the paper's formula
};

Result<Yarn> read_yarn(const gguf::File& file, const std::string& prefix, double factor, size_t n_original) {
  Yarn yarn;
  yarn.factor = factor;
  yarn.n_original = static_cast<double>(n_original);
  const std::pair<const char*, double*> fields[] = {
      {"yarn_ext_factor", &yarn.extrapolation}, {"yarn_beta_fast", &yarn.beta_fast},
      {"yarn_beta_slow", &yarn.beta_slow},      {"yarn_log_multiplier", &yarn.log_multiplier},
      {"yarn_attn_factor", &yarn.magnitude},
  };
  for (const auto& [key, value] : fields) {
    auto read = read_float_or(file, prefix + key, *value);
    if (!read) return tl::unexpected(read.error());
    if (*read < 0) return fail(ErrorCode::kInvalidFile, prefix + key + " must not be negative");
    *value = *read;
  }
  if (yarn.beta_fast <= 0 || yarn.beta_slow <= 0) {
    return fail(ErrorCode::kInvalidFile, prefix + "yarn_beta_fast and yarn_beta_slow must be above 0");
  }
  return yarn;
}

// Section 3.2 of arXiv 2309.00071: pairs that turn often within the original context keep their frequency,
// those that turn less than once are interpolated, and a ramp lies between.
void stretch(const Yarn& yarn, double theta, RopeConfig& rope) {
  const auto n_pairs = static_cast<double>(rope.frequencies.size());
  const auto pair_with = [&](double n_turns) {
    return n_pairs * std::log(yarn.n_original / (n_turns * 2 * std::numbers::pi)) / std::log(theta);
  };
  const double low = std::max(0.0, std::floor(pair_with(yarn.beta_fast)));
  const double high = std::min(2 * n_pairs - 1, std::ceil(pair_with(yarn.beta_slow)));
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
    const double kept = (1 - std::clamp(ramp, 0.0, 1.0)) * yarn.extrapolation;
    rope.frequencies[i] *= kept + (1 - kept) / yarn.factor;
  }
  const auto temperature = [&](double multiplier) {  // section 3.3
    return yarn.factor <= 1 ? 1 : 0.1 * multiplier * std::log(yarn.factor) + 1;
  };
  rope.magnitude = yarn.magnitude > 0 ? yarn.magnitude : temperature(1) / temperature(yarn.log_multiplier);
}

// "linear" is what files that state only a factor mean.
Result<void> scale(const gguf::File& file, const std::string& prefix, double theta, size_t n_original,
                   RopeConfig& rope) {
  auto factor = read_float_or(file, prefix + "rope.scaling.factor", 0);
  if (factor && *factor == 0) factor = read_float_or(file, prefix + "rope.scale_linear", 0);
  if (!factor) return tl::unexpected(factor.error());
  if (*factor == 0) factor = 1;  // how files say that there is none
  if (*factor < 0) return fail(ErrorCode::kInvalidFile, prefix + "rope.scaling.factor must be above 0");
  const std::string key = prefix + "rope.scaling.type";
  const auto type = file.find(key) == nullptr ? std::string("linear") : file.get_string(key);
  if (!type) return tl::unexpected(type.error());
  if (*type == "linear") {
    for (double& frequency : rope.frequencies) frequency /= *factor;
  } else if (*type == "yarn") {
    auto yarn = read_yarn(file, prefix + "rope.scaling.", *factor, n_original);
    if (!yarn) return tl::unexpected(yarn.error());
    stretch(*yarn, theta, rope);
  } else if (*type != "none" && *type != "longrope") {
    return fail(ErrorCode::kUnsupported, "the rotary embedding is scaled by \"" + type->substr(0, 40) +
                                             "\"; supported are none, linear, yarn and longrope");
  }
  return {};
}

}  // namespace

RopeConfig plain_rope(double theta, size_t rope_dim) {
  RopeConfig rope;
  for (size_t i = 0; i < rope_dim / 2; ++i) {
    rope.frequencies.push_back(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rope_dim)));
  }
  return rope;
}

RopeConfig no_rope(size_t rope_dim) {
  RopeConfig rope;
  rope.frequencies.assign(rope_dim / 2, 0);
  return rope;
}

Result<RopeConfig> read_rope(const gguf::File& file, const ModelConfig& config) {
  const std::string prefix = config.architecture + ".";
  auto theta = read_float_or(file, prefix + "rope.freq_base", 10000);
  if (!theta) return tl::unexpected(theta.error());
  if (*theta <= 1) return fail(ErrorCode::kInvalidFile, prefix + "rope.freq_base must be above 1");
  auto n_original =
      read_size_or(file, prefix + "rope.scaling.original_context_length", 1U << 28, config.context_length);
  if (!n_original) return tl::unexpected(n_original.error());
  auto attention_factor = read_float_or(file, prefix + "rope.scaling.attn_factor", 1);
  if (!attention_factor) return tl::unexpected(attention_factor.error());
  if (*attention_factor <= 0) {
    return fail(ErrorCode::kInvalidFile, prefix + "rope.scaling.attn_factor must be above 0");
  }

  RopeConfig rope = plain_rope(*theta, config.rope_dim);
  if (auto scaled = scale(file, prefix, *theta, *n_original, rope); !scaled) {
    return tl::unexpected(scaled.error());
  }
  rope.magnitude *= *attention_factor;
  std::vector<float> factors[3];
  const char* const names[] = {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"};
  for (size_t i = 0; i < 3; ++i) {
    auto read = read_factors(file, names[i], config.rope_dim / 2);
    if (!read) return tl::unexpected(read.error());
    factors[i] = std::move(*read);
  }
  rope.frequencies = divided(std::move(rope.frequencies), factors[0]);
  if (factors[1].empty() != factors[2].empty()) {
    return fail(ErrorCode::kInvalidFile,
                "of rope_factors_short.weight and rope_factors_long.weight one is missing");
  }
  if (!factors[2].empty()) rope.long_frequencies = divided(rope.frequencies, factors[2]);
  rope.frequencies = divided(std::move(rope.frequencies), factors[1]);
  rope.long_above = *n_original;
  return rope;
}

}  // namespace lazyfill::architectures
