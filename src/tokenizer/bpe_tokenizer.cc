// Byte-level BPE as GPT-2 introduced it: words are cut by a pre-tokeniser, each word starts as bytes, and the
// pair with the lowest merge rank joins first, the leftmost of equals. Gemma 4 and others merge in the same
// way, but from characters, with SentencePiece's marks for spaces and tokens for single bytes.
#include <algorithm>
#include <array>
#include <limits>

#include "tokenizer/pretokenizer.h"
#include "tokenizer/sentencepiece_normalizer.h"
#include "tokenizer/string_index.h"
#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr size_t kSettledBytes = 24;

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
      : VocabularyTokenizer(
            std::move(vocabulary),
            {.bos = data.add_bos.value_or(pre.habits().adds_bos), .eos = data.add_eos.value_or(false)}, data),
        pre_(std::move(pre)),
        kind_("bpe (" + std::string(pre_.name()) + ")"),
        tokens_(n_tokens()),
        merges_(data.merges.size()) {
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const TokenType type = this->vocabulary().type(id);
      // Merges of characters may lead to tokens that are also found in texts as they are written.
      if (type == TokenType::kNormal || (pre_.habits().is_plain && type == TokenType::kUserDefined))
        tokens_.insert(this->vocabulary().text(id), id);
    }
    find_byte_tokens();
  }

  Result<void> read_merges(const TokenizerData& data) {
    const std::span<const std::string> merges = data.merges;
    const StringIndex others = tokens_of_other_types(data);
    std::vector<char> joined;
    std::string written;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const std::string_view merge = merges[rank];
      const size_t space = merge.find(' ', 1);
      joined.clear();
      size_t n_left = 0;
      bool known = space != std::string_view::npos && append_token(merge.substr(0, space), joined);
      n_left = joined.size();
      known = known && append_token(merge.substr(space + 1), joined);
      const std::string_view text(joined.data(), joined.size());
      const auto find = [&](std::string_view bytes, std::string_view as_written) {
        const int32_t id = known ? tokens_.find(bytes) : -1;
        return id >= 0 ? id : others.find(as_written);
      };
      written.assign(merge);
      if (space != std::string_view::npos) written.erase(space, 1);
      const int32_t left = find(text.substr(0, n_left), merge.substr(0, space));
      const int32_t right =
          space == std::string_view::npos ? -1 : find(text.substr(n_left), merge.substr(space + 1));
      const int32_t merged = find(text, written);
      if (left < 0 || right < 0 || merged < 0) {
        return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.merges entry " + std::to_string(rank) +
                                                 " joins tokens that are not in the vocabulary");
      }
      // Text never becomes a control token by merging: encode() takes those as they are written, or not at
      // all.
      if (vocabulary().type(merged) != TokenType::kControl)
        merges_.insert(left, right, {static_cast<int32_t>(rank), merged});
    }
    return {};
  }

  std::string piece(int32_t id, bool with_special) const override {
    const std::string_view text = vocabulary().text(id);
    const TokenType type = vocabulary().type(id);
    if (vocabulary().is_special(id) && !with_special) return {};
    if (!pre_.habits().is_plain || (type != TokenType::kNormal && type != TokenType::kByte))
      return std::string(text);
    const auto byte = type == TokenType::kByte ? byte_of_token(text) : std::nullopt;
    return byte ? std::string(1, static_cast<char>(*byte)) : replace_all(text, kSpaceMark, " ");
  }
  std::string_view kind() const override { return kind_; }

  // Up to a word that begins behind a letter, and far enough from the end that no expression looks so far.
  size_t settled_bytes(std::string_view text) const override {
    if (text.size() < 2 * kSettledBytes || pre_.habits().is_plain || pre_.habits().composes) return 0;
    std::vector<std::string_view> words;
    if (!pre_.split(text, words)) return 0;
    size_t begin = text.size();
    for (size_t i = words.size(); i-- > 1;) {
      begin -= words[i].size();
      if (begin + kSettledBytes > text.size()) continue;
      const auto is_letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
      constexpr std::string_view kApart = "\",:;()[]{}<>=/";  // in no expression part of a word of letters
      const bool is_border =
          is_letter(text[begin - 1]) && ((text[begin] == ' ' && is_letter(text[begin + 1])) ||
                                         kApart.find(text[begin]) != std::string_view::npos);
      if (is_border && splits_at(text, begin)) return begin;
    }
    return 0;
  }

 private:
  // Merges may lead to tokens that are also found in texts as they are written, and to unused ones.
  StringIndex tokens_of_other_types(const TokenizerData& data) const {
    StringIndex others(n_tokens());
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (vocabulary().type(id) != TokenType::kNormal && vocabulary().type(id) != TokenType::kByte)
        others.insert(data.tokens[i], id);
    }
    return others;
  }

  void find_byte_tokens() {
    byte_ids_.fill(-1);
    for (size_t byte = 0; byte < byte_ids_.size() && !pre_.habits().is_plain; ++byte) {
      const char c = static_cast<char>(byte);
      byte_ids_[byte] = tokens_.find({&c, 1});
    }
    for (size_t i = 0; i < n_tokens() && pre_.habits().is_plain; ++i) {
      const auto id = static_cast<int32_t>(i);
      const auto byte = byte_of_token(vocabulary().text(id));
      if (byte && vocabulary().type(id) == TokenType::kByte) byte_ids_[*byte] = id;
    }
  }

  // The bytes of a token as merges spell it.
  bool append_token(std::string_view token, std::vector<char>& out) const {
    if (!pre_.habits().is_plain) return append_byte_level(token, out);
    out.insert(out.end(), token.begin(), token.end());
    return true;
  }

  // What a word consists of before anything is merged.
  void add_symbols(std::string_view word, WordMerger& merger) const {
    if (!pre_.habits().is_plain) {
      add_bytes(word, merger);
      return;
    }
    for (size_t position = 0; position < word.size();) {
      const std::string_view character = word.substr(position, utf8::decode(word, position).n_bytes);
      const int32_t id = tokens_.find(character);
      if (id >= 0) {
        merger.add(id);
      } else {
        add_bytes(character, merger);
      }
      position += character.size();
    }
  }
  void add_bytes(std::string_view bytes, WordMerger& merger) const {
    for (const char c : bytes) {
      const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      if (id >= 0) merger.add(id);  // a byte without a token is dropped, as the reference tokenisers do
    }
  }

  Result<void> encode_text(std::string_view text, bool /*space_prefix*/,
                           std::vector<int32_t>& ids) const override {
    std::string composed;
    if (pre_.habits().is_plain) {
      composed = replace_all(text, " ", kSpaceMark);
      text = composed;
    }
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
      add_symbols(word, merger);
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
  const std::string unsaid = data.model == "gemma4" ? "gemma4" : "default";
  auto pre = PreTokenizer::make(data.pre.empty() || data.model == "gemma4" ? unsaid : data.pre);
  if (!pre) return tl::unexpected(pre.error());
  const bool plain = pre->habits().is_plain;
  auto vocabulary =
      Vocabulary::build(data, plain ? Vocabulary::Form::kPlain : Vocabulary::Form::kByteLevel, {});
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  auto tokenizer = std::make_unique<BpeTokenizer>(std::move(*vocabulary), data, std::move(*pre));
  if (auto read = tokenizer->read_merges(data); !read) return tl::unexpected(read.error());
  return tokenizer;
}

}  // namespace lazyfill
