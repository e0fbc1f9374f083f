#include <gtest/gtest.h>
#include <unistd.h>

#include "conversation/answer_parser.h"
#include "engine/tiny_model_file.h"

namespace lazyfill {
namespace {

TEST(AnswerSyntax, IsFoundInTheTemplateOrTheVocabulary) {
  const auto none = [](std::string_view) { return false; };
  const auto tools = [&](std::string_view chat_template, bool has_tools = true) {
    return find_answer_syntax(chat_template, none, "", has_tools).tools;
  };
  EXPECT_EQ(tools("x <tool_call> y"), ToolSyntax::kHermes);
  EXPECT_EQ(tools("<tool_call>\n<function="), ToolSyntax::kQwenCoder);
  EXPECT_EQ(tools("Environment: ipython"), ToolSyntax::kLlama3);
  EXPECT_EQ(tools("[TOOL_CALLS]"), ToolSyntax::kMistral);
  EXPECT_EQ(tools("{{ messages }}"), ToolSyntax::kNone);
  EXPECT_EQ(tools("<tool_call>", false), ToolSyntax::kNone);
  const auto has_tokens = [](std::string_view text) {
    return text == "<tool_call>" || text == "<think>" || text == "</think>" || text == "ipython";
  };
  const AnswerSyntax found = find_answer_syntax("{{ messages }}", has_tokens, "assistant:", true);
  EXPECT_EQ(found.tools, ToolSyntax::kHermes);
  EXPECT_EQ(found.thought_begin, "<think>");
  EXPECT_EQ(found.thought_end, "</think>");
  EXPECT_FALSE(found.begins_in_thought);
}

TEST(AnswerSyntax, ThePromptSaysWhetherAThoughtHasBegun) {
  const auto none = [](std::string_view) { return false; };
  const auto begins = [&](std::string_view prompt) {
    return find_answer_syntax("split('</think>')", none, prompt, false).begins_in_thought;
  };
  EXPECT_TRUE(begins("assistant\n<think>\n"));
  EXPECT_TRUE(begins("<think>"));
  EXPECT_FALSE(begins("assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(begins("assistant\n"));
  EXPECT_FALSE(begins(""));
  EXPECT_FALSE(find_answer_syntax("plain", none, "<think>", false).begins_in_thought);
}

// A model with these templates (empty: without), whose vocabulary knows <tool_call> as one token.
AnswerSyntax syntax_of_model(const std::string& chat_template, const std::string& tool_template,
                             const std::string& prompt, bool has_tools) {
  const std::string path = testing::TempDir() + "answer_syntax_" + std::to_string(getpid()) + ".gguf";
  TinyModelFile tiny({.n_layers = 1});
  if (!chat_template.empty()) tiny.set("tokenizer.chat_template", chat_template);
  if (!tool_template.empty()) tiny.set("tokenizer.chat_template.tool_use", tool_template);
  std::vector<std::string> tokens = TinyModelFile::tokens();
  tokens.at(259) = "<tool_call>";
  tiny.set_array("tokenizer.ggml.tokens", tokens);
  EXPECT_TRUE(tiny.save(path));
  const auto engine = Engine::load(path, {.n_threads = 1});
  unlink(path.c_str());
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? find_answer_syntax(*engine, prompt, has_tools) : AnswerSyntax{};
}

TEST(AnswerSyntax, OfAModelIsThatOfTheTemplateThatIsUsed) {
  const std::string plain = "{{ messages }}</think>";
  const AnswerSyntax with_tools = syntax_of_model(plain, "[TOOL_CALLS]", "<think>\n", true);
  EXPECT_EQ(with_tools.tools, ToolSyntax::kMistral);
  EXPECT_EQ(with_tools.thought_end, "");
  const AnswerSyntax without = syntax_of_model(plain, "[TOOL_CALLS]", "<think>\n", false);
  EXPECT_EQ(without.tools, ToolSyntax::kNone);
  EXPECT_EQ(without.thought_end, "</think>");
  EXPECT_TRUE(without.begins_in_thought);
  EXPECT_EQ(syntax_of_model("[TOOL_CALLS]", "", "", true).tools, ToolSyntax::kMistral);
  EXPECT_EQ(syntax_of_model("{{ messages }}", "", "", true).tools, ToolSyntax::kHermes);  // by its token
}

}  // namespace
}  // namespace lazyfill
