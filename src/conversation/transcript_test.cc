#include "conversation/transcript.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "engine/tiny_model_file.h"

namespace lazyfill {
namespace {

constexpr char kTemplate[] =
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

class TranscriptTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string path = testing::TempDir() + "transcript_test_" + std::to_string(getpid()) + ".gguf";
    TinyModelFile file;
    file.set("tokenizer.chat_template", std::string(kTemplate));
    const auto saved = file.save(path);
    ASSERT_TRUE(saved) << saved.error().message;
    auto loaded = Engine::load(path, {.n_threads = 1});
    ASSERT_TRUE(loaded) << loaded.error().message;
    engine_ = std::make_unique<Engine>(std::move(*loaded));
    unlink(path.c_str());
  }
  static void TearDownTestSuite() { engine_.reset(); }

  static std::string ask(Transcript& transcript, const std::string& question) {
    const auto tokens = transcript.ask(question);
    EXPECT_TRUE(tokens) << tokens.error().message;
    return tokens ? engine_->detokenize(*tokens) : "";
  }

  static inline std::unique_ptr<Engine> engine_;
};

TEST_F(TranscriptTest, PlainTextGrowsByQuestionsAndAnswers) {
  Transcript transcript(*engine_, "A report.", false, false, {});
  EXPECT_EQ(ask(transcript, "Who?"), "A report.\n\nWho?");
  transcript.answered(" Ada.");
  EXPECT_EQ(ask(transcript, "When?"), "A report.\n\nWho? Ada.\n\nWhen?");
  EXPECT_EQ(ask(transcript, "Where?"), "A report.\n\nWho? Ada.\n\nWhen?\n\nWhere?");  // no answer came
}

TEST_F(TranscriptTest, TheFirstMessageOfAChatHasTheDocument) {
  Transcript transcript(*engine_, "A report.", true, false, {.messages = {{"system", "Be short."}}});
  const std::string first = "[system]Be short.[user]A report.\n\nWho?[assistant]";
  EXPECT_EQ(ask(transcript, "Who?"), first);
  transcript.answered("Ada.");
  EXPECT_EQ(ask(transcript, "When?"), first + "Ada.[user]When?[assistant]");
}

}  // namespace
}  // namespace lazyfill
