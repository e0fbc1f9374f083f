#include "conversation/transcript.h"

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

Result<std::vector<int32_t>> Transcript::ask(const std::string& question) {
  if (!chat_) {
    document_ += "\n\n" + question;
  } else {
    request_.messages.push_back({"user", has_asked_ ? question : document_ + "\n\n" + question});
  }
  has_asked_ = true;
  auto tokens = render();
  if (tokens && tokens->empty())
    return fail(ErrorCode::kInvalidArgument, "the document and its question are empty");
  return tokens;
}

void Transcript::answered(const std::string& text) {
  if (chat_) {
    request_.messages.push_back({"assistant", text});
  } else {
    document_ += text;
  }
}

}  // namespace lazyfill
