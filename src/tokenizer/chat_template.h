// Renders the Jinja template that a GGUF file carries in tokenizer.chat_template, as Python's transformers
// does it: trim_blocks and lstrip_blocks on, loop controls, raise_exception() and strftime_now() there, tools
// and documents none.
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
    // JSON texts; see ChatRequest in lazyfill/types.h.
    std::string messages_json;
    std::string tools_json;
    std::string variables_json;
    bool add_generation_prompt = true;
    // An error where the template does not so much as look at the tools: they would vanish without a word.
    bool tools_must_be_read = false;
    std::string bos_token;
    std::string eos_token;
    // Where a template ends with an error: steps of its interpreter, bytes of all texts that it makes on the
    // way. Both grow with the texts that it is given: some templates look at every character of a message.
    size_t max_steps = 10'000'000;  // about a second
    size_t max_bytes = size_t{100} << 20;
    size_t more_steps_per_byte = 128;
    size_t more_bytes_per_byte = 64;
    int64_t now_s = 0;  // what strftime_now() shows, seconds since 1970; 0: the clock
  };
  // Fails on template errors and on the limits of steps, depth and output (hostile templates end there).
  Result<RenderedChat> render(const Context& context) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace lazyfill
