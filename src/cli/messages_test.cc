#include "cli/messages.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

TEST(Messages, WhatTemplatesKnowHasNoFault) {
  for (const char* array : {
           R"([{"role": "user", "content": "a"}])",
           R"([{"role": "user", "content": ""}])",
           R"([{"role": "user", "content": [{"type": "text", "text": "a"}]}])",
           R"([{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]}])",
           R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}])",
           R"([{"role": "assistant", "reasoning_content": "hm"}])",
           R"([{"role": "tool", "content": {"degrees": 20}}])",
       })
    EXPECT_EQ(find_fault_in_messages(array).sentence, "") << array;
}

TEST(Messages, AFaultHasASentenceAndAPlace) {
  const MessagesFault fault = find_fault_in_messages(R"([{"role": "user", "content": "a"}, "b"])");
  EXPECT_EQ(fault.sentence,
            "holds a message that is none: number 2 is no object with \"role\" and \"content\"");
  EXPECT_EQ(fault.byte, 35U);
}

}  // namespace
}  // namespace lazyfill::cli
