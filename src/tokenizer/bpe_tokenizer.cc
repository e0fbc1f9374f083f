// Byte-level BPE as GPT-2 introduced it: words are cut by a pre-tokeniser, each word starts as bytes, and the
// pair with the lowest merge rank joins first, the leftmost of equals.
#include <algorithm>
#include <array>
#include <limits>

#include "tokenizer/pretokenizer.h"
#include "tokenizer/string_index.h"
#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

// A word while it is being merged: a doubly linked list of its symbols, and a heap of the pairs that may
// join. The heap makes a word of n bytes cost n log n.
class WordMerger {
 public:
  explicit WordMerger(const MergeIndex& merges) : merges_(merges) {}

  void add(int32_t id) {
    const auto n = static_cast<uint32_t>(symbols_.size());
    if (n > 0) symbols_.back().next = n;
    symbols_.push_back({id, n == 0 ? kNone : n - 1, kNone});
  }
  // Merges what was added, appends the ids, and is ready for the next word.
  void finish(std::vector<int32_t>& ids) {
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) consider(i);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Pair pair = heap_.back();
      heap_.pop_back();
      join(pair);
    }
    for (uint32_t i = symbols_.empty() ? kNone : 0; i != kNone; i = symbols_[i].next)
      ids.push_back(symbols_[i].id);
    symbols_.clear();
  }

 private:
  struct Symbol {
    int32_t id = -1;  // -1: joined to the symbol before
    uint32_t previous = kNone;
    uint32_t next = kNone;
  };
  struct Pair {
    MergeIndex::Merge merge;
    uint32_t left = 0;
    int32_t left_id = -1;
    int32_t right_id = -1;
    // The heap's top is its greatest element: the lowest rank, then the leftmost.
    bool operator<(const Pair& other) const {
      return merge.rank != other.merge.rank ? merge.rank > other.merge.rank : left > other.left;
    }
  };

  void consider(uint32_t left) {
    const Symbol& symbol = symbols_[left];
    if (symbol.next == kNone) return;
    const int32_t right_id = symbols_[symbol.next].id;
    const MergeIndex::Merge merge = merges_.find(symbol.id, right_id);
    if (merge.rank < 0) return;
    heap_.push_back({merge, left, symbol.id, right_id});
    std::push_heap(heap_.begin(), heap_.end());
  }
  void join(const Pair& pair) {
    Symbol& left = symbols_[pair.left];
    // A pair grows stale when another merge took one of its halves.
    if (left.id != pair.left_id || left.next == kNone || symbols_[left.next].id != pair.right_id) return;
    Symbol& right = symbols_[left.next];
    right.id = -1;
    left.id = pair.merge.merged;
    left.next = right.next;
    if (left.next != kNone) symbols_[left.next].previous = pair.left;
    if (left.previous != kNone) consider(left.previous);
    consider(pair.left);
  }

  const MergeIndex& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Pair> heap_;
};

class BpeTokenizer final : public VocabularyTokenizer {
 public:
  BpeTokenizer(Vocabulary vocabulary, const TokenizerData& data, PreTokenizer pre)
      : VocabularyTokenizer(std::move(vocabulary), {TokenType::kUserDefined},
                            data.add_bos.value_or(pre.habits().adds_bos), data.add_eos.value_or(false)),
        pre_(std::move(pre)),
        kind_("bpe (" + (data.pre.empty() ? std::string("default") : data.pre) + ")"),
        tokens_(n_tokens()),
        merges_(data.merges.size()) {
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (this->vocabulary().type(id) == TokenType::kNormal) tokens_.insert(this->vocabulary().text(id), id);
    }
    for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
      const char c = static_cast<char>(byte);
      byte_ids_[byte] = tokens_.find({&c, 1});
    }
  }

  Result<void> read_merges(std::span<const std::string> merges) {
    std::vector<char> joined;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const std::string_view merge = merges[rank];
      const size_t space = merge.find(' ', 1);
      joined.clear();
      size_t n_left = 0;
      bool known = space != std::string_view::npos && append_byte_level(merge.substr(0, space), joined);
      n_left = joined.size();
      known = known && append_byte_level(merge.substr(space + 1), joined);
      const std::string_view text(joined.data(), joined.size());
      const int32_t left = known ? tokens_.find(text.substr(0, n_left)) : -1;
      const int32_t right = known ? tokens_.find(text.substr(n_left)) : -1;
      const int32_t merged = known ? tokens_.find(text) : -1;
      if (left < 0 || right < 0 || merged < 0) {
        return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.merges entry " + std::to_string(rank) +
                                                 " joins tokens that are not in the vocabulary");
      }
      merges_.insert(left, right, {static_cast<int32_t>(rank), merged});
    }
    return {};
  }

  std::string piece(int32_t id, bool with_special) const override {
    if (vocabulary().is_special(id) && !with_special) return {};
    return std::string(vocabulary().text(id));
  }
  std::string_view kind() const override { return kind_; }

 private:
  Result<void> encode_text(std::string_view text, std::vector<int32_t>& ids) const override {
    std::string composed;
    if (pre_.habits().composes) {
      auto normal = utf8::compose(text);
      if (!normal) return tl::unexpected(normal.error());
      composed = std::move(*normal);
      text = composed;
    }
    std::vector<std::string_view> words;
    if (auto split = pre_.split(text, words); !split) return split;
    WordMerger merger(merges_);
    for (const std::string_view word : words) {
      const int32_t whole = pre_.habits().takes_whole_words ? tokens_.find(word) : -1;
      if (whole >= 0) {
        ids.push_back(whole);
        continue;
      }
      for (const char c : word) {
        const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
        if (id >= 0) merger.add(id);  // a byte without a token is dropped, as the reference tokenisers do
      }
      merger.finish(ids);
    }
    return {};
  }

  PreTokenizer pre_;
  std::string kind_;
  StringIndex tokens_;
  MergeIndex merges_;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_bpe_tokenizer(const TokenizerData& data) {
  auto pre = PreTokenizer::make(data.pre.empty() ? "default" : data.pre);
  if (!pre) return tl::unexpected(pre.error());
  auto vocabulary = Vocabulary::build(data, Vocabulary::Form::kByteLevel);
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  auto tokenizer = std::make_unique<BpeTokenizer>(std::move(*vocabulary), data, std::move(*pre));
  if (auto read = tokenizer->read_merges(data.merges); !read) return tl::unexpected(read.error());
  return tokenizer;
}

}  // namespace lazyfill
