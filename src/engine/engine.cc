#include "lazyfill/engine.h"

#include <numeric>

#include "base/out_of_memory.h"
#include "engine/engine_impl.h"
#include "gguf/fingerprint.h"
#include "tokenizer/tool_arguments.h"

namespace lazyfill {
namespace {

constexpr std::string_view kChatTemplateKey = "tokenizer.chat_template";
constexpr std::string_view kToolTemplateKey = "tokenizer.chat_template.tool_use";

uint64_t count_parameters(const gguf::File& file) {
  return std::accumulate(
      file.tensors().begin(), file.tensors().end(), uint64_t{0},
      [](uint64_t sum, const gguf::TensorInfo& tensor) { return sum + tensor.n_elements; });
}

ModelInfo describe(const Engine::Impl& engine);

// Nothing is done where the file does not have the key.
Result<void> load_chat_template(const gguf::File& file, std::string_view key,
                                std::optional<ChatTemplate>& parsed, std::string& why_not) {
  if (file.find(key) == nullptr) return {};
  auto source = file.get_string(key);
  if (!source) return tl::unexpected(source.error());
  auto chat_template = ChatTemplate::parse(*source);
  if (chat_template) {
    parsed = std::move(*chat_template);
  } else {
    // Plain prompts still work: the template is only an error when somebody chats.
    why_not = "this model's chat template cannot be used: " + chat_template.error().message;
  }
  return {};
}

}  // namespace

Result<void> check_threads(size_t n_asked, size_t n_started) {
  if (n_started >= n_asked) return {};
  return fail(ErrorCode::kOutOfMemory, "only " + std::to_string(n_started) + " of the " +
                                           std::to_string(n_asked) +
                                           " threads could be started; ask for fewer (--threads), or for 0 "
                                           "to take as many as the system gives");
}

Result<Engine> Engine::load(const std::string& path, const EngineOptions& options) {
  return guard_memory(
      [&]() -> Result<Engine> {
        auto impl = Impl::load(path, options);
        if (!impl) return tl::unexpected(impl.error());
        return Engine(std::move(*impl));
      },
      [&] {
        return "not enough memory to load " + path +
               "; use a smaller model or quantisation, or fewer threads";
      });
}

Result<std::shared_ptr<const Engine::Impl>> Engine::Impl::load(const std::string& path,
                                                               const EngineOptions& options) {
  auto kernels = kernels_for(options.isa);
  if (!kernels) return tl::unexpected(kernels.error());
  auto open_file = gguf::File::open(path);
  if (!open_file) return tl::unexpected(open_file.error());
  auto impl = std::make_shared<Impl>(std::move(*open_file));
  impl->kv = options.kv;
  impl->n_threads = options.n_threads;
  ThreadPool pool(options.n_threads);
  if (auto checked = check_threads(options.n_threads, pool.n_threads()); !checked)
    return tl::unexpected(checked.error());
  auto loaded = Model::load(impl->file, **kernels, options.activation_bits, Team::all(pool));
  if (!loaded) return tl::unexpected(loaded.error());
  impl->model = std::move(*loaded);
  auto made = Tokenizer::from_gguf(impl->file);
  if (!made) return tl::unexpected(made.error());
  impl->tokenizer = std::move(*made);
  if (impl->tokenizer->n_tokens() > impl->model.config.n_vocab) {
    return fail(ErrorCode::kInvalidFile, "the tokeniser has " + std::to_string(impl->tokenizer->n_tokens()) +
                                             " tokens but the embedding only " +
                                             std::to_string(impl->model.config.n_vocab) + " rows");
  }
  impl->chat_template_error = "this model's file has no chat template; give the prompt as plain text";
  impl->guide_vocabulary = std::make_shared<const GuideVocabulary>(*impl->tokenizer);
  auto chat =
      load_chat_template(impl->file, kChatTemplateKey, impl->chat_template, impl->chat_template_error);
  if (!chat) return tl::unexpected(chat.error());
  auto with_tools =
      load_chat_template(impl->file, kToolTemplateKey, impl->tool_template, impl->tool_template_error);
  if (!with_tools) return tl::unexpected(with_tools.error());
  impl->info = describe(*impl);
  impl->info.activation_bits = options.activation_bits;
  auto fingerprint = gguf::fingerprint(impl->file);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  impl->info.fingerprint = std::move(*fingerprint);
  impl->presets = ModelPresets(impl->info.fingerprint, path, options.preset_folder);
  return impl;
}

namespace {

ModelInfo describe(const Engine::Impl& engine) {
  const ModelConfig& config = engine.model.config;
  ModelInfo info;
  info.architecture = config.architecture;
  info.name = engine.file.get_string("general.name").value_or("");
  info.n_parameters = count_parameters(engine.file);
  info.file_bytes = engine.file.size_bytes();
  info.n_layers = config.n_layers;
  info.d_model = config.d_model;
  info.n_heads = config.n_heads;
  info.n_kv_heads = config.n_kv_heads;
  info.head_dim = config.head_dim;
  info.d_ff = config.d_ff;
  info.n_vocab = config.n_vocab;
  info.n_tokens = engine.tokenizer->n_tokens();
  info.context_length = config.context_length;
  info.prunable_layers = config.prunable_layers();
  info.tokenizer = engine.tokenizer->kind();
  info.isa = engine.model.kernels->name;
  for (const LayerConfig& layer : config.layers) info.layer_windows.push_back(layer.window);
  info.has_chat_template = engine.chat_template.has_value();
  info.warnings = engine.tokenizer->warnings();
  return info;
}

}  // namespace

Result<ResolvedLazy> Engine::Impl::resolve(const LazyOptions& lazy, size_t n_tokens) const {
  auto preset = presets.for_schedule(lazy.schedule);
  if (!preset) return tl::unexpected(preset.error());
  return resolve_lazy(model.config, *preset, lazy, n_tokens);
}

Result<std::shared_ptr<Guide>> Engine::Impl::guide(const GenerateOptions& options) const {
  if (!options.forced_tokens.empty())
    return fail(ErrorCode::kInvalidArgument,
                "a guide chooses tokens, and so do forced tokens; leave one of them out");
  return guard_memory([&] { return guides.get(options.guide, guide_vocabulary); },
                      [] { return std::string("not enough memory for this guide; make it smaller"); });
}

Result<void> Engine::check_guide(const GuideOptions& guide) const {
  auto compiled = impl_->guide({.guide = guide});
  if (!compiled) return tl::unexpected(compiled.error());
  return {};
}

Result<void> Engine::Impl::check_tokens(std::span<const int32_t> tokens) const {
  for (const int32_t token : tokens) {
    if (token >= 0 && static_cast<size_t>(token) < info.n_tokens) continue;
    return fail(ErrorCode::kInvalidArgument, "token id " + std::to_string(token) +
                                                 " does not exist; this model has ids from 0 to " +
                                                 std::to_string(info.n_tokens - 1));
  }
  return {};
}

Engine::Engine(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

const ModelInfo& Engine::info() const {
  return impl_->info;
}

namespace {

Result<std::vector<int32_t>> encode(const Tokenizer& tokenizer, std::string_view text,
                                    const Tokenizer::EncodeOptions& options) {
  return guard_memory([&] { return tokenizer.encode(text, options); },
                      [&] {
                        return "not enough memory to tokenise " + std::to_string(text.size()) +
                               " bytes; shorten the text";
                      });
}

}  // namespace

Result<std::vector<int32_t>> Engine::tokenize(std::string_view text, bool add_special,
                                              bool parse_special) const {
  return encode(*impl_->tokenizer, text, {.add_special = add_special, .parse_special = parse_special});
}

Result<std::vector<int32_t>> Engine::tokenize_part(std::string_view text) const {
  return encode(*impl_->tokenizer, text, {.add_special = false, .space_prefix = false});
}

std::string Engine::detokenize(std::span<const int32_t> ids, bool with_special) const {
  return impl_->tokenizer->decode({ids.begin(), ids.end()}, with_special);
}

std::string Engine::piece(int32_t id) const {
  return impl_->tokenizer->piece(id, true);
}

std::string Engine::chat_template(bool for_tools) const {
  const gguf::File& file = impl_->file;
  const bool has_another = for_tools && file.find(kToolTemplateKey) != nullptr;
  return file.get_string(has_another ? kToolTemplateKey : kChatTemplateKey).value_or("");
}

const FimTokens& Engine::fim_tokens() const {
  return impl_->tokenizer->fim_tokens();
}

bool Engine::is_end(int32_t id) const {
  return impl_->tokenizer->is_end(id);
}

Result<std::string> Engine::apply_chat_template(const ChatRequest& request) const {
  return render_chat(request).map([](RenderedChat chat) { return std::move(chat.text); });
}

Result<std::vector<int32_t>> Engine::tokenize_chat(const RenderedChat& chat) const {
  for (size_t i = 0, last_end = 0; i < chat.template_spans.size(); last_end = chat.template_spans[i++].end) {
    const TextSpan& span = chat.template_spans[i];
    if (span.begin < last_end || span.end < span.begin || span.end > chat.text.size())
      return fail(ErrorCode::kInvalidArgument, "the spans of a chat must be ascending parts of its text");
  }
  // Templates write BOS themselves where the model wants one.
  return encode(*impl_->tokenizer, chat.text, {.add_special = false, .control_spans = chat.template_spans});
}

Result<std::vector<int32_t>> Engine::tokenize_chat(const ChatRequest& request) const {
  return render_chat(request).and_then([this](const RenderedChat& chat) { return tokenize_chat(chat); });
}

Result<RenderedChat> Engine::render_chat(const ChatRequest& request) const {
  return guard_memory([&] { return impl_->render(request); },
                      [] { return std::string("not enough memory for this conversation; shorten it"); });
}

Result<RenderedChat> Engine::Impl::render(const ChatRequest& request) const {
  const bool for_tools = !request.tools_json.empty();
  if (for_tools && !tool_template_error.empty()) return fail(ErrorCode::kUnsupported, tool_template_error);
  const std::optional<ChatTemplate>& chosen = for_tools && tool_template ? tool_template : chat_template;
  if (!chosen) return fail(ErrorCode::kUnsupported, chat_template_error);
  ChatTemplate::Context context;
  context.messages = request.messages;
  context.messages_json = request.messages_json;
  context.tools_json = request.tools_json;
  context.variables_json = request.variables_json;
  context.add_generation_prompt = request.add_generation_prompt;
  if (tokenizer->bos_id() >= 0) context.bos_token = tokenizer->piece(tokenizer->bos_id(), true);
  if (tokenizer->eos_id() >= 0) context.eos_token = tokenizer->piece(tokenizer->eos_id(), true);
  if (!context.messages_json.empty()) {
    auto fitting = fit_tool_arguments(*chosen, context);
    if (!fitting) return tl::unexpected(fitting.error());
    context.messages_json = std::move(*fitting);
  }
  context.tools_must_be_read = request.tools_json.find('{') != std::string::npos;  // not for "[]"
  return chosen->render(context);
}

Result<std::vector<ScheduleStage>> Engine::resolve_schedule(const LazyOptions& lazy,
                                                            size_t n_prompt_tokens) const {
  return impl_->resolve(lazy, n_prompt_tokens).map([](ResolvedLazy resolved) {
    return std::move(resolved.stages);
  });
}

}  // namespace lazyfill
