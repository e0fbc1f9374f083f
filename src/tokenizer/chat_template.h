// Renders the Jinja template that a GGUF file carries in tokenizer.chat_template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

class ChatTemplate {
 public:
  // Parses; a syntax that is not supported gives a sentence with the line.
  static Result<ChatTemplate> parse(std::string_view source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  struct Context {
    std::vector<ChatMessage> messages;
    bool add_generation_prompt = true;
    std::string bos_token;
    std::string eos_token;
  };
  // Fails on template errors and on the limits of steps, depth and output (hostile templates end there).
  Result<std::string> render(const Context& context) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace lazyfill
