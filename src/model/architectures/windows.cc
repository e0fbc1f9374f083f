#include "model/architectures/architectures.h"

namespace lazyfill::architectures {
namespace {

constexpr uint64_t kMaxWindow = 1U << 28;

// Whether each layer slides: from a list of them, or from a period whose last layer is global.
Result<std::vector<bool>> sliding_layers(const gguf::File& file, const std::string& key, uint64_t period,
                                         size_t n_layers) {
  std::vector<bool> slides(n_layers);
  const gguf::Value* value = file.find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<gguf::Array>(value);
  if (array != nullptr) {
    const auto* pattern = std::get_if<std::vector<bool>>(array);
    if (pattern == nullptr || pattern->size() < n_layers) {
      return fail(ErrorCode::kInvalidFile, key + " must say true or false for every layer");
    }
    std::copy_n(pattern->begin(), n_layers, slides.begin());
    return slides;
  }
  if (value != nullptr) {
    auto stated = file.get_uint(key);
    if (!stated) return tl::unexpected(stated.error());
    period = *stated;
  }
  for (size_t i = 0; i < n_layers; ++i) slides[i] = period == 0 || i % period + 1 < period;
  return slides;
}

}  // namespace

Result<void> read_windows(const gguf::File& file, size_t period, ModelConfig& config) {
  const std::string prefix = config.architecture + ".attention.";
  if (file.find(prefix + "sliding_window") == nullptr) return {};
  auto window = file.get_uint(prefix + "sliding_window");
  if (!window) return tl::unexpected(window.error());
  if (*window == 0) return {};  // how files say that there is none
  if (*window > kMaxWindow) {
    return fail(ErrorCode::kInvalidFile, prefix + "sliding_window must be at most 2^28");
  }
  auto slides = sliding_layers(file, prefix + "sliding_window_pattern", period, config.n_layers);
  if (!slides) return tl::unexpected(slides.error());
  for (size_t i = 0; i < config.n_layers; ++i) {
    if ((*slides)[i]) config.layers[i].window = static_cast<size_t>(*window);
  }
  return {};
}

}  // namespace lazyfill::architectures
