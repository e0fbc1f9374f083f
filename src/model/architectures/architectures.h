// One function an architecture. To add one: write it beside these, declare it here, and name it in the table
// of ../config.cc.
#pragma once

#include "model/config.h"

namespace lazyfill::architectures {

// Sizes that every architecture states under "ARCH.*", its rotary embedding and its experts, read and
// range-checked; windows and the rest are left at plain Llama's values for the caller to change.
Result<ModelConfig> common(const gguf::File& file, const std::string& architecture);

// Frequencies of "ARCH.rope.*" with the scaling that the file states (linear, YaRN, LongRoPE, or the factors
// of Llama 3's rope_freqs.weight), those without any scaling, and those that turn nothing.
Result<RopeConfig> read_rope(const gguf::File& file, const ModelConfig& config);
RopeConfig plain_rope(double theta, size_t rope_dim);
RopeConfig no_rope(size_t rope_dim);

// Sliding windows of "ARCH.attention.sliding_window", if there are any, in all layers but the last of every
// `period` (0: in all layers), or as "ARCH.attention.sliding_window_pattern" says.
Result<void> read_windows(const gguf::File& file, size_t period, ModelConfig& config);

Result<ModelConfig> llama(const gguf::File& file);     // Llama 2 (arXiv 2307.09288), Mistral, Mixtral, ...
Result<ModelConfig> qwen2(const gguf::File& file);     // Qwen2 (arXiv 2407.10671)
Result<ModelConfig> qwen3(const gguf::File& file);     // Qwen3 (arXiv 2505.09388)
Result<ModelConfig> qwen3moe(const gguf::File& file);  // the same with experts
Result<ModelConfig> phi3(const gguf::File& file);      // Phi-3 (arXiv 2404.14219), Phi-4
Result<ModelConfig> gemma2(const gguf::File& file);    // Gemma 2 (arXiv 2408.00118)
Result<ModelConfig> gemma3(const gguf::File& file);    // Gemma 3 (arXiv 2503.19786)
Result<ModelConfig> olmo2(const gguf::File& file);     // OLMo 2 (arXiv 2501.00656), Olmo 3
Result<ModelConfig> granite(const gguf::File& file);   // Granite 3, multipliers after muP (arXiv 2203.03466)
Result<ModelConfig> smollm3(const gguf::File& file);   // SmolLM3: Llama with NoPE layers (arXiv 2501.18795)

}  // namespace lazyfill::architectures
