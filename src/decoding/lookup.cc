#include <algorithm>
#include <array>

#include "decoding/drafter.h"

namespace lazyfill {
namespace {

constexpr size_t kLongestMatch = 16;  // longer ones are as good
constexpr size_t kMostDrafts = 80;
constexpr float kLearned = 1.0F / 16;  // what one choice counts in a chance
constexpr size_t kClasses = 8;

// Of a match of so many tokens.
size_t class_of(size_t length) {
  constexpr size_t kFrom[kClasses] = {1, 2, 3, 4, 5, 7, 10, 14};
  size_t found = 0;
  while (found + 1 < kClasses && length >= kFrom[found + 1]) ++found;
  return found;
}

struct Match {
  size_t end = 0;  // of the earlier place: what followed there
  size_t length = 0;
};

// The longest match of the text's end with an earlier place, the latest of several.
Match longest_match(std::span<const int32_t> text) {
  Match best;
  for (size_t end = text.size() - 1; end > best.length; --end) {
    if (text[end - 1] != text.back()) continue;
    size_t length = 1;
    const size_t most = std::min(end, kLongestMatch);
    while (length < most && text[end - 1 - length] == text[text.size() - 1 - length]) ++length;
    if (length > best.length) best = {end, length};
    if (length == kLongestMatch) break;
  }
  return best;
}

class Lookup final : public Drafter {
 public:
  void read(std::span<const int32_t> /*prompt*/) override {}

  DraftTree propose(std::span<const int32_t> text) override {
    DraftTree tree(text.back());
    const Match match = longest_match(text);
    if (match.length == 0) return tree;
    for (size_t i = 0; i < kMostDrafts; ++i) {
      // What follows goes on in the drafts themselves where the earlier place is near the end.
      const size_t from = match.end + i;
      const int32_t token = from < text.size() ? text[from] : tree.tokens[from - text.size() + 1];
      tree.add(token, i, chances_[class_of(match.length + i)]);
    }
    return tree;
  }

  void chose(std::span<const int32_t> text) override {
    if (text.size() < 2) return;
    const Match match = longest_match(text.first(text.size() - 1));
    if (match.length == 0) return;
    float& chance = chances_[class_of(match.length)];
    chance += kLearned * ((text[match.end] == text.back() ? 1.0F : 0.0F) - chance);
  }

 private:
  std::array<float, kClasses> chances_ = {0.10F, 0.25F, 0.40F, 0.50F, 0.60F, 0.70F, 0.80F, 0.90F};
};

}  // namespace

std::unique_ptr<Drafter> make_lookup() {
  return std::make_unique<Lookup>();
}

}  // namespace lazyfill
