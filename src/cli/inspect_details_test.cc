#include "cli/inspect_details.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

TEST(InspectDetails, Ranges) {
  EXPECT_EQ(ranges_text({}), "");
  EXPECT_EQ(ranges_text({5}), "5");
  EXPECT_EQ(ranges_text({0, 1}), "0, 1");
  EXPECT_EQ(ranges_text({0, 1, 2, 3, 5, 7, 8, 9}), "0-3, 5, 7-9");
  EXPECT_EQ(ranges_text({5, 11, 17}), "5, 11, 17");
}

TEST(InspectDetails, ChatFormats) {
  EXPECT_EQ(recognise_format("{{ '<|im_start|>' + role }}"), "ChatML");
  EXPECT_EQ(recognise_format("<|im_start|>system<|im_sep|>"), "Phi-4");
  EXPECT_EQ(recognise_format("[INST] <<SYS>>"), "Llama 2");
  EXPECT_EQ(recognise_format("[INST] [AVAILABLE_TOOLS]"), "Mistral");
  EXPECT_EQ(recognise_format("<|start|>assistant<|channel|>"), "Harmony (gpt-oss)");
  EXPECT_EQ(recognise_format("<|user|>\n<|end|>"), "Phi-3");
  EXPECT_EQ(recognise_format("{{ messages[0].content }}"), "");
}

}  // namespace
}  // namespace lazyfill::cli
