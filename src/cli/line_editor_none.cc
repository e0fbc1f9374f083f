// In place of line_editor.cc where the build found no libedit.
#include "cli/question_reader.h"

namespace lazyfill::cli {

std::unique_ptr<QuestionReader> make_line_editor(QuestionReaderOptions /*options*/) {
  return nullptr;
}

}  // namespace lazyfill::cli
