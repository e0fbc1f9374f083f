#include "conversation/transcript.h"

#include <algorithm>
#include <utility>

#include "conversation/conversation.h"

namespace lazyfill {

Transcript::Transcript(const Engine& engine, std::string document, bool chat, bool special,
                       ChatRequest request)
    : engine_(engine),
      document_(std::move(document)),
      chat_(chat),
      special_(special),
      request_(std::move(request)) {}

Result<std::vector<int32_t>> Transcript::render() const {
  if (!chat_) return engine_.tokenize(document_, true, special_);
  return tokenize_conversation(engine_, request_, special_);
}

Result<Turn> Transcript::ask(const std::string& question) {
  if (!chat_) {
    document_ += "\n\n" + question;
  } else {
    request_.messages.push_back({"user", has_asked_ ? question : document_ + "\n\n" + question});
  }
  has_asked_ = true;
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
    request_.messages.push_back({"assistant", text});
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

}  // namespace lazyfill
