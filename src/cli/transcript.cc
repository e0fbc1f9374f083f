#include "cli/transcript.h"

#include <algorithm>
#include <utility>

#include "cli/conversation.h"

namespace lazyfill::cli {

Transcript::Transcript(const Engine& engine, std::string document, bool chat, std::string system)
    : engine_(engine), document_(std::move(document)), chat_(chat), system_(std::move(system)) {}

Result<std::vector<int32_t>> Transcript::render() const {
  if (!chat_) return engine_.tokenize(document_);
  std::vector<ChatMessage> messages = messages_;
  if (!system_.empty()) messages.insert(messages.begin(), {"system", system_});
  return tokenize_conversation(engine_, messages);
}

Result<Turn> Transcript::ask(const std::string& question) {
  if (!chat_) {
    document_ += "\n\n" + question;
  } else {
    messages_.push_back({"user", messages_.empty() ? document_ + "\n\n" + question : question});
  }
  auto tokens = render();
  if (!tokens) return tl::unexpected(tokens.error());
  if (tokens->empty()) return fail(ErrorCode::kInvalidArgument, "the document and its question are empty");
  const size_t n_known = std::min(tokens->size() - 1, common_prefix(*tokens, tokens_));  // a step needs a row
  Turn turn{tokens_.size() - n_known, {tokens->begin() + static_cast<ptrdiff_t>(n_known), tokens->end()}};
  tokens_ = std::move(*tokens);
  return turn;
}

void Transcript::answered(std::span<const int32_t> token_ids, const std::string& text) {
  tokens_.insert(tokens_.end(), token_ids.begin(), token_ids.end());
  if (chat_) {
    messages_.push_back({"assistant", text});
  } else {
    document_ += text;
  }
}

Result<void> take_back(Session& session, const Turn& turn) {
  // From the end: a policy that starts again with fewer tokens (GemFilter) holds fewer than were given.
  if (turn.n_back == 0) return {};
  const size_t n = session.tokens().size();
  return session.rewind(n - std::min(turn.n_back, n));
}

Result<Generation> generate_turn(Session& session, const Turn& turn, const GenerateOptions& options,
                                 const Callbacks& callbacks) {
  if (auto done = take_back(session, turn); !done) return tl::unexpected(done.error());
  return session.generate(turn.tokens, options, callbacks);
}

}  // namespace lazyfill::cli
