#include "server/dense_prefix.h"

#include <algorithm>
#include <utility>

#include "base/common_prefix.h"

namespace lazyfill::server {
namespace {

constexpr size_t kMaxKnown = 16;

}  // namespace

// What two conversations have in common that go on differently.
std::vector<int32_t> DensePrefix::tokens_of(const ChatRequest& chat, const Json& messages) const {
  const auto tokens = [&](const char* question) {
    ChatRequest one = chat;
    Json all = messages;
    all.push_back({{"role", "user"}, {"content", question}});
    one.messages_json = all.dump();
    return engine_.tokenize_chat(one);
  };
  auto first = tokens("a");
  const auto second = tokens("Z");
  if (!first || !second) return {};  // a template that wants more than this
  first->resize(common_prefix(*first, *second));
  return std::move(*first);
}

size_t DensePrefix::n_tokens(const AnswerRequest& request, const std::vector<int32_t>& prompt) {
  if (!request.chat || (request.n_dense_messages == 0 && request.chat->tools_json.empty())) return 0;
  Json messages = Json::parse(request.chat->messages_json);
  messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(request.n_dense_messages), messages.end());
  const std::string key = messages.dump() + request.chat->tools_json + request.chat->variables_json;
  {
    const std::scoped_lock lock(mutex_);
    const auto found =
        std::find_if(known_.begin(), known_.end(), [&](const auto& one) { return one.first == key; });
    if (found != known_.end()) {
      known_.splice(known_.begin(), known_, found);
      return common_prefix(known_.front().second, prompt);
    }
  }
  std::vector<int32_t> tokens = tokens_of(*request.chat, messages);
  const size_t n = common_prefix(tokens, prompt);
  const std::scoped_lock lock(mutex_);
  known_.emplace_front(key, std::move(tokens));
  if (known_.size() > kMaxKnown) known_.pop_back();
  return n;
}

}  // namespace lazyfill::server
