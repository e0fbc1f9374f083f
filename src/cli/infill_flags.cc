#include "cli/infill_flags.h"

#include <utility>

#include "cli/text_input.h"

namespace lazyfill::cli {
namespace {

const std::vector<std::string> kForms = {"native", "constrained"};

}  // namespace

void InfillFlags::add_to(Flags& flags) {
  flags.group("The middle of a text (docs/fim.md)");
  flags.add_text("--prefix-file", prefix_file, "FILE",
                 "What stands before the middle; the answer is what comes between this and --suffix-file");
  flags.add_text("--suffix-file", suffix_file, "FILE", "What stands behind it");
  flags.add_choice("--fim", form_, kForms,
                   "By the model's own tokens for it (native), or by whole lines that must begin and end as "
                   "the cut ones do (constrained), which any model can; default native");
}

Result<std::optional<InfillRequest>> InfillFlags::resolve() const {
  if (!given()) return std::nullopt;
  InfillRequest request;
  request.form = is_constrained() ? InfillForm::kConstrained : InfillForm::kNative;
  request.how_to_wish = "--fim constrained";
  for (const auto& [file, text] :
       {std::pair{&prefix_file, &request.prefix}, {&suffix_file, &request.suffix}}) {
    if (file->empty()) continue;
    auto read = read_text_file(*file, {});
    if (!read) return tl::unexpected(read.error());
    *text = std::move(*read);
  }
  return request;
}

}  // namespace lazyfill::cli
