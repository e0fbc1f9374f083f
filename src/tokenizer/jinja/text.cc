#include "tokenizer/jinja/text.h"

namespace lazyfill::jinja {

// The first offset at which another one writes is looked for among all of the text's: parts are small, and
// texts of many parts are rare.
TextView::Part TextView::first_part(std::string_view rest) const {
  const std::vector<size_t>& changes = mixed_->changes();
  const auto begin = static_cast<size_t>(rest.data() - mixed_->bytes().data());
  const auto next = std::upper_bound(changes.begin(), changes.end(), begin);
  const bool odd = (next - changes.begin()) % 2 == 1;
  const size_t n_left = next == changes.end() ? rest.size() : *next - begin;
  return {std::min(rest.size(), n_left), mixed_->starts_of_template() != odd};
}

bool TextView::is_all_of_template() const {
  bool all = true;
  each_part([&all](std::string_view, bool of_template) { all = all && of_template; });
  return all;
}

Text TextView::copy() const {
  Text text;
  text.reserve(bytes_.size());
  each_part([&text](std::string_view bytes, bool of_template) { text.append(bytes, of_template); });
  return text;
}

}  // namespace lazyfill::jinja
