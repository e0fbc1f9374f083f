#include "conversation/conversation.h"

#include <algorithm>
#include <string>

namespace lazyfill {

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) {
  return tokenize_conversation(engine,
                               {.messages = messages, .add_generation_prompt = add_generation_prompt});
}

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request,
                                                   bool special) {
  if (!special) return engine.tokenize_chat(request);
  // Templates write BOS themselves where the model wants one.
  return engine.apply_chat_template(request).and_then(
      [&engine](const std::string& text) { return engine.tokenize(text, false, true); });
}

Result<size_t> Conversation::sync(std::span<const int32_t> tokens) {
  size_t n_kept = 0;
  if (n_filtered_ == 0 || tokens.empty()) {  // none at all is an error
    auto kept = session_.sync(tokens);
    if (!kept) return kept;
    n_kept = *kept;
  } else {
    n_kept = std::min(common_prefix(tokens, tokens_), tokens.size() - 1);
    if (n_held(n_kept) == 0) n_kept = 0;
    if (auto rewound = rewind(n_kept); !rewound) return tl::unexpected(rewound.error());
    if (auto added = session_.append(tokens.subspan(n_kept)); !added) return tl::unexpected(added.error());
  }
  tokens_.assign(tokens.begin(), tokens.end());
  return tokens.size() - n_kept;
}

Result<Generation> Conversation::generate(const GenerateOptions& options, const Callbacks& callbacks) {
  const size_t n_before = session_.n_tokens();
  auto generation = session_.generate({}, options, callbacks);
  if (!generation) return generation;
  if (session_.n_tokens() < n_before + generation->token_ids.size()) {
    n_filtered_ = tokens_.size();
    chosen_ = generation->lazy.kept.front();
  }
  tokens_.insert(tokens_.end(), generation->token_ids.begin(), generation->token_ids.end());
  return generation;
}

Result<void> Conversation::compute_dense(std::span<const int32_t> tokens, const LazyOptions& lazy,
                                         const Callbacks& callbacks) {
  if (auto n_new = sync(tokens); !n_new) return tl::unexpected(n_new.error());
  if (auto set = session_.set_lazy({.schedule = "off"}); !set) return set;
  auto computed = session_.step(callbacks);
  auto set = session_.set_lazy(lazy);
  return computed ? set : computed;
}

Result<void> Conversation::rewind(size_t n_tokens) {
  if (n_tokens > tokens_.size()) {
    return fail(ErrorCode::kInvalidArgument, "cannot rewind to " + std::to_string(n_tokens) +
                                                 " tokens: there are " + std::to_string(tokens_.size()));
  }
  const size_t n_still_held = n_held(n_tokens);
  if (auto rewound = session_.rewind(n_still_held); !rewound) return rewound;
  tokens_.resize(n_tokens);
  if (n_tokens < n_filtered_) {
    n_filtered_ = n_tokens;
    chosen_.resize(n_still_held);
  }
  return {};
}

size_t Conversation::n_held(size_t n_tokens) const {
  if (n_tokens >= n_filtered_) return n_tokens - n_filtered_ + chosen_.size();
  const auto end = std::lower_bound(chosen_.begin(), chosen_.end(), static_cast<int32_t>(n_tokens));
  return static_cast<size_t>(end - chosen_.begin());
}

}  // namespace lazyfill
