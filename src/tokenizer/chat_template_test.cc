#include "tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

Result<std::string> render(std::string_view source, const ChatTemplate::Context& context = {}) {
  const auto chat_template = ChatTemplate::parse(source);
  if (!chat_template) return tl::unexpected(chat_template.error());
  return chat_template->render(context).map([](RenderedChat chat) { return std::move(chat.text); });
}

std::string message_of(std::string_view source) {
  const auto text = render(source);
  return text ? "rendered: " + *text : text.error().message;
}

// tests/golden/chat_templates.json is written by scripts/make_chat_goldens.py with Python's jinja2.
TEST(ChatTemplate, AsJinja2Renders) {
  ASSERT_EQ(setenv("TZ", "UTC", 1), 0);  // strftime_now() shows local time
  std::ifstream file(LAZYFILL_GOLDEN_DIR "/chat_templates.json");
  ASSERT_TRUE(file) << "tests/golden/chat_templates.json is missing";
  const nlohmann::json golden = nlohmann::json::parse(file);
  ASSERT_GT(golden["cases"].size(), 100U);
  for (const auto& record : golden["cases"]) {
    ChatTemplate::Context context;
    context.add_generation_prompt = record["add_generation_prompt"];
    context.bos_token = "<s>";
    context.eos_token = "</s>";
    context.now_s = golden["now_s"];
    for (const auto& message : record["messages"])
      context.messages.push_back({message["role"], message["content"]});
    const auto source = record["template"].get<std::string>();
    const auto text = render(source, context);
    if (record.contains("error")) {
      EXPECT_FALSE(text) << source << "\nwas rendered: " << *text;
    } else if (text) {
      EXPECT_EQ(*text, record["expected"].get<std::string>()) << source;
    } else {
      ADD_FAILURE() << source << "\n" << text.error().message;
    }
  }
}

TEST(ChatTemplate, MessagesNameTheLine) {
  EXPECT_THAT(message_of("a\nb\n{% include 'x' %}"), HasSubstr("line 3: the statement 'include'"));
  EXPECT_THAT(message_of("\n{{ missing.x }}"), HasSubstr("line 2: 'missing' is undefined"));
  EXPECT_THAT(message_of("{{ raise_exception('Only users speak') }}"), HasSubstr("Only users speak"));
  EXPECT_THAT(message_of("{{ 'x' | wonder }}"), HasSubstr("'wonder'"));
  EXPECT_THAT(message_of("{% if true %}"), HasSubstr("'endif'"));
}

TEST(ChatTemplate, InvalidUtf8IsRefused) {
  EXPECT_FALSE(ChatTemplate::parse("a\xFF"));
  ChatTemplate::Context context;
  context.messages = {{"user", "\xC3"}};
  EXPECT_FALSE(render("{{ messages[0].content }}", context));
}

// Each of these would take all memory, all time or the whole stack of an interpreter without limits.
TEST(ChatTemplate, HostileTemplatesEnd) {
  const std::string many(100000, '(');
  std::string nots;
  std::string sums = "1";
  std::string ifs;
  std::string dots;
  std::string pipes;
  for (int i = 0; i < 20000; ++i) {
    nots += "not ";
    sums += "+1";
    ifs += "{% if 1 %}";
    dots += ".a";
    pipes += "|e";
  }
  for (const std::string& source : {
           std::string("{% for i in range(1000000000000) %}x{% endfor %}"),
           std::string("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
           std::string("{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s "
                       "%}{% endfor %}"),
           std::string("{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] "
                       "%}{% endfor %}"),
           std::string("{% set ns = namespace(s=[1]) %}{% for i in range(100000) %}{% set ns.s = [ns.s] %}{% "
                       "endfor %}"),
           std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
           std::string("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}"),
           std::string("{{ 'x' * 100000000000 }}"),
           std::string("{{ ['x'] * 100000000000 }}"),
           std::string("{{ ('x' * 100000) | replace('x', 'y' * 100000) }}"),
           std::string("{{ 'a' | indent(100000000000, true) }}"),
           std::string("{{ [1] | tojson(indent=100000000000) }}"),
           std::string("{{ '7'.zfill(100000000000) }}"),
           std::string("{{ 9223372036854775807 + 1 }}"),
           std::string("{{ 99999999999999999999 }}"),
           std::string("{{ range(10 ** 18) | list }}"),
           std::string("{{ range(100001) }}"),
           std::string("{{ 'a'.ljust(9223372036854775807) }}"),
           std::string("{{ 'a' | center(9223372036854775807) }}"),
           std::string("{{ '%999999999d' % 1 }}"),
           std::string("{{ '%.999999999f' % 1 }}"),
           std::string("{{ (0,) * 9223372036854775807 }}"),
           std::string("{{ [1] | batch(9223372036854775807, 'x') | list }}"),
           std::string("{{ [1] | slice(9223372036854775807) | list }}"),
           std::string("{{ ('a' * 40000000).find('a' * 20000000 ~ 'b') }}"),
           std::string("{{ ('a' * 20000000 ~ 'b') in ('a' * 40000000) }}"),
           std::string("{{ ('a' * 40000000).split('a' * 20000000 ~ 'b') }}"),
           std::string("{{ ('a' * 20000000).strip('b' * 20000000 ~ 'a') }}"),
           std::string("{% set k = ('a' * 40000,) * 2000 %}{{ {k: 1, k: 2, k: 3}.get(k) }}{% for i in "
                       "range(99999) %}{{ k == k }}{% endfor %}"),
           std::string("{{ ([['x'] * 3000] * 3000) | unique | list | sort }}"),
           std::string("{{ ([('x',) * 3000] * 3000) | unique | list }}"),
           std::string("{{ -9223372036854775807 - 2 }}"),
           std::string("{{ (-9223372036854775807 - 1) // -1 }}"),
           std::string("{{ (-9223372036854775807 - 1) | abs }}"),
           std::string("{{ 10 ** 400 }}"),
           std::string("{{ 10.0 ** 400 }}"),
           std::string("{% call(x) f() %}{% endcall %}"),
           "{{ a" + dots + " }}",
           "{{ a" + pipes + " }}",
           "{% for " + many + "x" + std::string(100000, ')') + " in y %}{% endfor %}",
           "{{ " + std::string(100000, '[') + " }}",
           "{{ " + std::string(100000, '-') + "1 }}",
           "{{ " + std::string(100000, '{') + " }}",
           "{{ " + many + "1 }}",
           "{{ " + nots + "1 }}",
           "{{ " + sums + " }}",
           ifs,
       }) {
    const auto text = render(source);
    EXPECT_FALSE(text) << source.substr(0, 80);
  }
}

// Python's rules hold at the ends of what numbers can be.
TEST(ChatTemplate, ExtremeNumbers) {
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775807:9223372036854775807:9223372036854775807] }}").value(), "a");
  EXPECT_EQ(render("{{ 'abc'[::-9223372036854775807] }}{{ 'abc'[9223372036854775807:] }}").value(), "c");
  EXPECT_EQ(
      render("{{ [1, 2][9223372036854775807] }}|{{ 'x' * -5 }}|{{ 'x'[-9223372036854775807] }}|").value(),
      "|||");
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}").value(), "0");
  EXPECT_EQ(render("{{ 9223372036854775807 == 9223372036854775807.0 }}").value(), "False");
  EXPECT_EQ(render("{{ range(9223372036854775806, 9223372036854775807, 5) | list }}").value(),
            "[9223372036854775806]");
}

TEST(ChatTemplate, MessagesToolsAndVariablesAsJson) {
  ChatTemplate::Context context;
  context.messages_json =
      R"([{"role": "user", "content": [{"type": "text", "text": "h\u00e9"}], "n": 1.0, "none": null}])";
  context.tools_json = R"([{"z": 1, "a": {"b": [true, 2.50]}}])";
  context.variables_json = R"({"enable_thinking": false})";
  EXPECT_EQ(render("{{ messages }}{{ tools | tojson }}{{ enable_thinking }}{{ documents }}", context).value(),
            "[{'role': 'user', 'content': [{'type': 'text', 'text': 'hé'}], 'n': 1.0, 'none': None}]"
            R"([{"z": 1, "a": {"b": [true, 2.5]}}])"
            "FalseNone");
}

TEST(ChatTemplate, BadJsonIsRefused) {
  const std::string deep(100000, '[');
  std::string wide = "{";
  for (int i = 0; i < 5000; ++i) wide += "\"k" + std::to_string(i) + "\": 1,";
  wide.back() = '}';
  for (const std::string& json : {std::string("["), std::string("{}"), std::string("[\"\xFF\"]"), deep,
                                  std::string("[18446744073709551615]"), std::string("[1e999]"),
                                  std::string("[] x"), "[" + wide + "]", std::string("[\"\\ud800\"]")}) {
    ChatTemplate::Context context;
    context.tools_json = json;
    const auto text = render("x", context);
    ASSERT_FALSE(text) << json.substr(0, 60);
    EXPECT_THAT(text.error().message, HasSubstr("the tools")) << json.substr(0, 60);
  }
}

TEST(ChatTemplate, NamespacesThatHoldThemselvesAreFreed) {
  EXPECT_EQ(render("{% set a = namespace() %}{% set a.me = a %}{% set a.list = [a] %}ok").value(), "ok");
}

TEST(ChatTemplate, LongConversationsFit) {
  ChatTemplate::Context context;
  for (int i = 0; i < 2000; ++i)
    context.messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(2000, 'x')});
  const auto text = render(
      "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] | trim + '\n' }}{% endfor %}", context);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(text->size(), 1000 * (7 + 2000) + 1000 * (12 + 2000));
}

}  // namespace
}  // namespace lazyfill
