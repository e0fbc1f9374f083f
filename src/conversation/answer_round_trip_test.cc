// What the chat templates write for an answer with calls, parsed back, is the same answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "conversation/parse_answer.h"
#include "tokenizer/chat_template.h"

namespace lazyfill {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kTools[] =
    R"([{"type":"function","function":{"name":"multiply","description":"Multiplies.","parameters":{"type":"object",)"
    R"("properties":{"a":{"type":"integer","description":"A number."},"note":{"type":"string","description":"A text."},)"
    R"("all":{"type":"array","description":"Many."},"deep":{"type":"object","description":"Deep."},)"
    R"("is_it":{"type":"boolean","description":"So?"}}}}},)"
    R"({"type":"function","function":{"name":"get_time-2","description":"The time.","parameters":{"type":"object",)"
    R"("properties":{"zone":{"type":"string","description":"A zone."}}}}}])";

Json call(const std::string& name, Json arguments) {
  return {{"id", "abc123def"},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
}

std::vector<Json> answers() {
  const Json full = {{"a", -6},
                     {"note", "\"</tool_call>\" <\u00fc> {[\n 12\\"},
                     {"all", {true, nullptr, 1.5, "x"}},
                     {"deep", {{"b", {{"c", "}"}}}}},
                     {"is_it", false}};
  const std::vector<std::vector<Json>> calls = {
      {call("multiply", full)},
      {call("get_time-2", Json::object())},
      {call("get_time-2", {{"zone", "12"}})},
      {call("multiply", full), call("get_time-2", {{"zone", "CET"}})}};
  std::vector<Json> answers;
  for (const auto& some : calls) {
    for (const char* content : {"", "I look it up."})
      answers.push_back({{"role", "assistant"}, {"content", content}, {"tool_calls", some}});
  }
  answers.push_back({{"role", "assistant"}, {"content", "42"}});
  return answers;
}

Result<std::string> render(const ChatTemplate& chat_template, const Json& messages, bool begins_answer) {
  ChatTemplate::Context context;
  context.messages_json = messages.dump();
  context.tools_json = kTools;
  context.add_generation_prompt = begins_answer;
  context.bos_token = "<s>";
  context.eos_token = "</s>";
  auto chat = chat_template.render(context);
  if (!chat) return tl::unexpected(chat.error());
  return chat->text;
}

// What the model would have written: behind the prompt, up to the token that ends an answer. A template that
// does not repeat the prompt's end there (Falcon 3's) begins a line instead.
std::string written_answer(const std::string& whole, const std::string& prompt) {
  size_t begin = 0;
  while (begin < std::min(whole.size(), prompt.size()) && whole[begin] == prompt[begin]) ++begin;
  if (begin < prompt.size() && whole[begin] == '\n') ++begin;
  std::string answer = whole.substr(begin);
  size_t end = answer.size();
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "</s>"}) end = std::min(end, answer.find(name));
  return answer.substr(0, end);
}

// Parses it whole and in pieces.
ParsedAnswer parsed(const AnswerSyntax& syntax, const std::string& text) {
  const ParsedAnswer whole = parse_answer(syntax, text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const size_t cuts[] = {cut};
    EXPECT_TRUE(parse_answer(syntax, text, cuts) == whole) << text << ", cut at " << cut;
  }
  return whole;
}

// How many calls were compared; 0: the template cannot show this answer.
size_t expect_round_trip(const ChatTemplate& chat_template, const std::string& source, const Json& answer) {
  const Json question = {{"role", "user"}, {"content", "What is it?"}};
  const auto prompt = render(chat_template, Json::array({question}), true);
  EXPECT_TRUE(prompt) << prompt.error().message;
  const auto whole = render(chat_template, Json::array({question, answer}), false);
  if (!prompt || !whole) return 0;
  AnswerSyntax syntax = find_answer_syntax(
      source, [](std::string_view) { return false; }, *prompt, true);
  syntax.tools_json = kTools;
  const std::string text = written_answer(*whole, *prompt);
  const ParsedAnswer got = parsed(syntax, text);
  const Json calls = answer.value("tool_calls", Json::array());
  EXPECT_EQ(got.calls.size(), calls.size()) << text;
  for (size_t i = 0; i < std::min(got.calls.size(), calls.size()); ++i) {
    EXPECT_EQ(got.calls[i].name, calls[i]["function"]["name"]) << text;
    EXPECT_EQ(nlohmann::json::parse(got.calls[i].arguments),
              nlohmann::json(calls[i]["function"]["arguments"]))
        << text;
  }
  // Some templates leave out what is said beside calls, and one writes a blank before what is said.
  const std::string content = answer["content"];
  const bool is_left_out = got.content.empty() && !calls.empty();
  EXPECT_TRUE(got.content == content || got.content == " " + content || is_left_out) << text;
  EXPECT_EQ(got.reasoning, "") << text;
  return calls.size();
}

TEST(AnswerRoundTrip, OfEveryTemplateThatShowsCallsInAFormWeKnow) {
  std::map<std::string, size_t> n_calls;
  for (const auto& entry : fs::directory_iterator(LAZYFILL_TEMPLATE_DIR)) {
    std::ifstream file(entry.path());
    const std::string source((std::istreambuf_iterator<char>(file)), {});
    const auto none = [](std::string_view) { return false; };
    if (find_answer_syntax(source, none, "", true).tools == ToolSyntax::kNone) continue;
    const auto chat_template = ChatTemplate::parse(source);
    ASSERT_TRUE(chat_template) << entry.path();
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    for (const Json& answer : answers()) n_calls[name] += expect_round_trip(*chat_template, source, answer);
  }
  using testing::Pair;
  EXPECT_THAT(n_calls, testing::UnorderedElementsAre(Pair("falcon-3", 10), Pair("hermes-3", 10),
                                                     Pair("llama-3.1", 6), Pair("mistral-tekken", 10),
                                                     Pair("mistral-v3", 10), Pair("qwen-2.5", 10),
                                                     Pair("qwen-3", 10), Pair("qwen-3-coder", 10)));
}

}  // namespace
}  // namespace lazyfill
