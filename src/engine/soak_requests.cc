// What the soak test asks, at random.
#include "engine/soak.h"

namespace lazyfill {

void Soak::begin(Conversation& conversation) {
  conversation.lazy = ways_[any(0, ways_.size() - 1)];
  conversation.n_dense = one_in(2) ? any(10, 50) : 0;
  conversation.salt = "conversation " + std::to_string(n_salts_++);
  // Its system message, whatever becomes of its first question.
  conversation.tokens = any_tokens(conversation.n_dense);
  conversation.log.clear();
  conversation.alone.emplace(*executor_->start_session({.lazy = conversation.lazy}));
  conversation.n_turns_left = any(2, 6);
}

std::shared_ptr<Sent> Soak::make(std::vector<int32_t> tokens, const LazyOptions& lazy) {
  auto sent = std::make_shared<Sent>();
  Request& request = sent->request;
  request.tokens = std::move(tokens);
  request.lazy = lazy;
  request.options.max_tokens = any(1, 14);
  request.options.sampling = {.temperature = one_in(2) ? 0.0F : 0.8F, .seed = random_() | 1};
  request.options.n_top_logprobs = 3;
  request.options.stop_at_end_token = one_in(2);
  if (lazy.schedule == "off") {  // there an answer with drafts is the one without
    request.options.draft = static_cast<Draft>(any(0, 3));
    request.options.draft_tokens = one_in(2) ? 0 : any(1, 12);
  }
  request.priority = static_cast<int>(any(0, 2));
  decide_its_fate(*sent);
  return sent;
}

std::shared_ptr<Sent> Soak::next_of(size_t i) {
  Conversation& conversation = conversations_[i];
  if (conversation.n_turns_left == 0) begin(conversation);
  std::vector<int32_t> tokens = conversation.tokens;
  const std::vector<int32_t> more =
      any_tokens(tokens.size() == conversation.n_dense ? any(60, 160) : any(9, 30));
  tokens.insert(tokens.end(), more.begin(), more.end());
  auto sent = make(std::move(tokens), conversation.lazy);
  sent->conversation = i;
  sent->request.cache_salt = conversation.salt;
  sent->request.n_dense_tokens = conversation.n_dense;
  conversation.is_asked = true;
  return sent;
}

std::shared_ptr<Sent> Soak::anything() {
  const size_t i = any(0, kConversations - 1);
  if (one_in(2) && !conversations_[i].is_asked) return next_of(i);
  const LazyOptions& lazy = ways_[any(0, ways_.size() - 1)];
  if (one_in(40)) return make(any_tokens(600), lazy);  // more than the context holds
  auto sent = make(any_tokens(one_in(4) ? any(100, 300) : any(1, 60)), lazy);
  sent->request.n_dense_tokens = one_in(4) ? any(1, 40) : 0;
  sent->is_shared = one_in(3);
  sent->request.cache_prompt = sent->is_shared;
  if (sent->is_shared) {  // begins with one of a few documents
    const std::vector<int32_t> document = some_tokens(any(1, 120), static_cast<uint32_t>(any(1, 4)));
    sent->request.tokens.insert(sent->request.tokens.begin(), document.begin(), document.end());
  }
  return sent;
}

void Soak::decide_its_fate(Sent& sent) {
  std::vector<int32_t>& tokens = sent.request.tokens;
  switch (any(0, 11)) {
    case 0:
      sent.is_poisoned = true;
      tokens[tokens.size() - any(1, std::min<size_t>(tokens.size(), 9))] = kPoison;
      break;
    case 1:
      sent.stop_at_block = any(1, 30);
      break;
    case 2:
      sent.stop_at_token = any(1, 6);
      break;
    case 3:
      sent.stop_at_token = any(1, 6);
      sent.says_no = true;
      break;
    default:
      break;
  }
}

Request Soak::watched(const std::shared_ptr<Sent>& sent) {
  Request request = sent->request;
  request.callbacks.stop = sent->stop.get_token();
  request.callbacks.on_progress = [&sent = *sent](const Progress&) {
    if (++sent.n_blocks == sent.stop_at_block) sent.stop.request_stop();
  };
  request.callbacks.on_token = [&sent = *sent](int32_t, std::string_view) {
    if (++sent.n_tokens != sent.stop_at_token) return true;
    if (!sent.says_no) sent.stop.request_stop();
    return !sent.says_no;
  };
  request.on_end = [this, sent](Result<Generation> result) {
    if (sent->n_ends++ > 0) return;
    sent->result = std::move(result);
    const std::scoped_lock lock(mutex_);
    ended_.push_back(sent);
    changed_.notify_all();
  };
  return request;
}

void Soak::send(const std::vector<std::shared_ptr<Sent>>& all) {
  std::vector<Request> requests;
  for (const auto& sent : all) requests.push_back(watched(sent));
  const auto submitted = scheduler_->submit(std::move(requests));
  if (submitted) {
    n_taken_ += all.size();
    in_flight_.insert(in_flight_.end(), all.begin(), all.end());
    return;
  }
  const bool is_busy = submitted.error().code == ErrorCode::kBusy;
  ++(is_busy ? n_busy_ : n_too_large_);
  EXPECT_TRUE(is_busy || submitted.error().code == ErrorCode::kContextExceeded) << submitted.error().message;
  for (const auto& sent : all) {
    EXPECT_EQ(sent->n_ends, 0);
    if (sent->conversation == SIZE_MAX) continue;
    conversations_[sent->conversation].is_asked = false;
    if (!is_busy) conversations_[sent->conversation].n_turns_left = 0;  // it has grown too long
  }
}

}  // namespace lazyfill
