#include "cli/guide_flags.h"

#include "cli/text_input.h"

namespace lazyfill::cli {
namespace {

const std::vector<std::string> kForms = {"canonical", "any"};

}  // namespace

void GuideFlags::add_to(Flags& flags) {
  flags.group("What an answer must look like (docs/guided.md)");
  flags.add_text("--regex", regex_, "R", "The whole answer matches this regular expression");
  flags.add_texts("--choice", choices_, "TEXT", "The answer is one of these texts; given once for each");
  flags.add_text("--json-schema", schema_file_, "FILE",
                 "The answer is JSON that fits the schema in this file");
  flags.add_text("--grammar", grammar_file_, "FILE", "The answer follows the GBNF grammar in this file");
  flags.add_choice(
      "--guide", form_, kForms,
      "Which tokens may spell such an answer: those that its text is encoded as (canonical), or any; "
      "default canonical");
}

size_t GuideFlags::n_kinds() const {
  return (regex_.empty() ? 0U : 1U) + (choices_.empty() ? 0U : 1U) + (schema_file_.empty() ? 0U : 1U) +
         (grammar_file_.empty() ? 0U : 1U);
}

std::string GuideFlags::contradiction() const {
  if (n_kinds() > 1)
    return "--regex, --choice, --json-schema and --grammar each say all of the answer: give one";
  return {};
}

Result<GuideOptions> GuideFlags::resolve() const {
  GuideOptions guide;
  guide.canonical = form_ == 0;
  if (!regex_.empty()) {
    guide.kind = GuideKind::kRegex;
    guide.source = regex_;
  } else if (!choices_.empty()) {
    guide.kind = GuideKind::kChoice;
    guide.choices = choices_;
  } else if (given()) {
    guide.kind = schema_file_.empty() ? GuideKind::kGrammar : GuideKind::kJsonSchema;
    auto text = read_text_file(schema_file_.empty() ? grammar_file_ : schema_file_, {});
    if (!text) return tl::unexpected(text.error());
    guide.source = std::move(*text);
  }
  return guide;
}

}  // namespace lazyfill::cli
