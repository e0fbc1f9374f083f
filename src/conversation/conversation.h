// A conversation above a session: every turn gives all the tokens of what was said so far, as a chat template
// spells them now, and only what the session does not hold yet is computed.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/common_prefix.h"
#include "lazyfill/engine.h"

namespace lazyfill {

// What the model's chat template makes of the messages, as tokens.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt = true);
// The same with tools and messages as JSON. special: control tokens that the messages spell out are taken as
// such too.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request,
                                                   bool special = false);

class Conversation {
 public:
  explicit Conversation(Session session) : session_(std::move(session)) {}

  // Makes the conversation these tokens: what they and those so far begin with stays, the rest is taken back
  // (an answer can be spelled otherwise in a prompt), and what is new awaits generate(). The last token is
  // always new, for a step needs one. Returns how many are new. On an error none is added.
  Result<size_t> sync(std::span<const int32_t> tokens);
  // Session::generate() of what awaits it. The answer is then a part of the conversation.
  Result<Generation> generate(const GenerateOptions& options, const Callbacks& callbacks);
  // Makes it these tokens and computes them by the whole model, whatever the schedule is: the part that stays
  // (system message, tools). `lazy` is the session's, for what follows.
  Result<void> compute_dense(std::span<const int32_t> tokens, const LazyOptions& lazy,
                             const Callbacks& callbacks);
  // Takes back all tokens from n_tokens on.
  Result<void> rewind(size_t n_tokens);

  // Given and generated. The session holds fewer after a policy that chose among them before it computed them
  // (Leaves::kPrompt).
  const std::vector<int32_t>& tokens() const { return tokens_; }
  const Session& session() const { return session_; }

 private:
  // Of the first n tokens, how many the session holds.
  size_t n_held(size_t n_tokens) const;

  Session session_;
  std::vector<int32_t> tokens_;
  // Where tokens were chosen: among the first n_filtered_, ascending, those at these places are held.
  size_t n_filtered_ = 0;
  std::vector<int32_t> chosen_;
};

}  // namespace lazyfill
