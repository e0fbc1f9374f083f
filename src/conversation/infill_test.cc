#include "conversation/infill.h"

#include <gmock/gmock.h>

#include <limits>
#include <set>

#include "engine/tiny_engine.h"

namespace lazyfill {
namespace {

using testing::HasSubstr;

// Short and long lines, an empty one, CRLF, characters of several bytes, no line break at the end.
const std::string kSample = "def f(x):\n    return x\n\n\nné = \"日本\"\r\nif a:\n\tb()\nlast";

std::vector<size_t> places_of(const std::string& text) {
  std::vector<size_t> places;
  for (size_t i = 0; i <= text.size(); ++i)
    if (i == text.size() || (static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) places.push_back(i);
  return places;
}

TEST(CutLines, JoinedAreTheTextAtEveryPlace) {
  for (const size_t at : places_of(kSample)) {
    const std::string prefix = kSample.substr(0, at);
    const std::string suffix = kSample.substr(at);
    const CutLines cut = cut_lines(prefix, suffix);
    EXPECT_EQ(std::string(cut.before) + std::string(cut.begin), prefix);
    EXPECT_EQ(std::string(cut.end) + std::string(cut.behind), suffix);
    EXPECT_TRUE(cut.before.empty() || cut.before.back() == '\n');
    EXPECT_EQ(cut.begin.find('\n'), std::string_view::npos);
    EXPECT_EQ(cut.end.find('\n'),
              cut.behind.empty() && !cut.end.ends_with('\n') ? std::string_view::npos : cut.end.size() - 1);
  }
}

TEST(CutLines, APrefixWithoutALineBreakGetsNone) {
  const CutLines cut = cut_lines("one", "two");
  EXPECT_EQ(cut.before, "");
  EXPECT_EQ(cut.begin, "one");
  EXPECT_EQ(cut.end, "two");
  EXPECT_EQ(cut.behind, "");
}

TEST(CutLines, OfALongLineOnlyWhatIsNearCounts) {
  std::string line;
  for (int i = 0; i < 2000; ++i) line += i % 7 == 0 ? " " : "é";
  const CutLines cut = cut_lines(line, line);
  EXPECT_EQ(std::string(cut.before) + std::string(cut.begin), line);
  EXPECT_EQ(std::string(cut.end) + std::string(cut.behind), line);
  EXPECT_LT(cut.begin.size(), 400U);
  EXPECT_LT(cut.end.size(), 400U);
  for (const std::string_view part : {cut.begin, cut.behind})
    EXPECT_NE(static_cast<uint8_t>(part[0]) & 0xC0, 0x80);
}

class Infill : public testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = new Engine(load_tiny_engine(2)); }
  static void TearDownTestSuite() {
    delete engine_;
    engine_ = nullptr;
  }
  static Engine* engine_;
};
Engine* Infill::engine_ = nullptr;

TEST_F(Infill, AtEveryPlaceTheOutputIsTheCutLinesWithTheMiddleBetweenThem) {
  size_t n_whole = 0;
  size_t n_cut = 0;
  for (const size_t at : places_of(kSample)) {
    InfillRequest request{kSample.substr(0, at), kSample.substr(at), {}, InfillForm::kConstrained, ""};
    const auto prompt = make_infill_prompt(*engine_, request, 400);
    ASSERT_TRUE(prompt) << prompt.error().message;
    const std::string begin = prompt->guide.choices[0];
    const std::string end = prompt->guide.choices[1];
    EXPECT_TRUE(request.prefix.ends_with(begin));
    EXPECT_TRUE(request.suffix.starts_with(end));
    GenerateOptions options{.max_tokens = 12 + prompt->n_bound_tokens, .guide = prompt->guide};
    options.sampling = {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = at + 1};
    // The byte of this token can begin a character.
    options.sampling.logit_bias = {{kPoison, -std::numeric_limits<float>::infinity()}};
    // So that short ends come within the tokens there are; the model's bytes are its first tokens.
    for (const char byte : std::set<char>(end.begin(), end.end()))
      options.sampling.logit_bias.push_back({static_cast<uint8_t>(byte), 6});
    std::string streamed;
    const Callbacks callbacks{.on_token = [&](int32_t, std::string_view text) {
      streamed += text;
      return true;
    }};
    auto session = engine_->start_session({});
    const auto answer = session->generate(prompt->tokens, options, callbacks);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(streamed, answer->text);
    const std::string output = engine_->detokenize(answer->token_ids);
    if (answer->finish_reason == FinishReason::kStop) {
      EXPECT_EQ(output, begin + answer->text + end);
      ++n_whole;
    } else {
      // What is missing is a beginning of the end, and no more.
      ASSERT_TRUE(output.starts_with(begin)) << output;
      ++n_cut;
      if (output.size() - begin.size() >= answer->text.size() &&
          answer->text.find("\xEF\xBF\xBD") == std::string::npos) {
        EXPECT_EQ(output.substr(begin.size(), answer->text.size()), answer->text);
      }
    }
  }
  EXPECT_GT(n_whole, 0U);
  EXPECT_GT(n_cut, 0U);
}

TEST_F(Infill, StopTextsConcernTheMiddleAlone) {
  InfillRequest request{"a\nstop here", "\nb", {}, InfillForm::kConstrained, ""};
  auto prompt = make_infill_prompt(*engine_, request, 400);
  ASSERT_TRUE(prompt);
  GenerateOptions options{.max_tokens = 40, .guide = prompt->guide, .stop = {"stop"}};
  options.sampling.temperature = 0;
  auto session = engine_->start_session({});
  const auto answer = session->generate(prompt->tokens, options, {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(engine_->detokenize(answer->token_ids).starts_with(prompt->guide.choices[0]));
}

TEST_F(Infill, WithoutTokensForItTheErrorSaysHowToAsk) {
  const auto prompt =
      make_infill_prompt(*engine_, {"a", "b", {}, InfillForm::kNative, "--fim constrained"}, 400);
  ASSERT_FALSE(prompt);
  EXPECT_THAT(prompt.error().message, HasSubstr("--fim constrained"));
}

TEST_F(Infill, LongTextsLoseWhatIsFarFromTheCursor) {
  const std::string lines(4000, 'x');
  InfillRequest request{"first\n" + lines + "\nnear = ",
                        "1\nclose\n" + lines,
                        {{"other", lines}},
                        InfillForm::kConstrained,
                        ""};
  const auto prompt = make_infill_prompt(*engine_, request, 300);
  ASSERT_TRUE(prompt);
  EXPECT_LE(prompt->tokens.size(), 300U);
  const std::string text = engine_->detokenize(prompt->tokens);
  EXPECT_THAT(text, HasSubstr("close"));
  EXPECT_THAT(text, testing::Not(HasSubstr("first")));
  EXPECT_EQ(prompt->guide.choices[1], "1\n");
}

}  // namespace
}  // namespace lazyfill
