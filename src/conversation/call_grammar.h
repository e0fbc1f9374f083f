// A grammar of answers whose calls of tools are as they must be: the family's own form, each call's arguments
// after its tool's schema. It is the source of a guide (GuideKind::kGrammar).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "conversation/answer_parser.h"

namespace lazyfill {

struct CallableTool {
  std::string name;
  std::string schema;  // of its arguments: a JSON schema of objects
};

struct CallRules {
  enum class Need {
    kNoCall,
    kMayCall,
    kMustCall,
  };
  Need need = Need::kMayCall;
  bool has_one_call = false;        // at most
  std::vector<CallableTool> tools;  // that may be called
  std::string content_schema;       // what is said instead of calls is JSON that fits it; empty: any text
};

// The id of the control token that is called so, or -1: then its name is a text like others.
using ControlIds = std::function<int32_t(std::string_view name)>;

// Thoughts may stand in front, where the model thinks aloud. Calls come last, after what is said. The syntax
// is that of the prompt; with ToolSyntax::kNone there are no calls.
std::string call_grammar(const AnswerSyntax& syntax, const CallRules& rules, const ControlIds& control_ids);

// Whether calls of a tool of this schema can be held to it: kQwenCoder writes texts without quotation marks,
// which only some keywords can be kept to. Empty: yes; else the keyword that cannot.
std::string unkept_keyword(ToolSyntax syntax, std::string_view schema);

}  // namespace lazyfill
