// SentencePiece's BPE (Kudo and Richardson, arXiv 1808.06226): spaces are U+2581, the neighbours that make
// the piece of the highest score join first, the leftmost of equals; what no piece covers is spelled in
// bytes.
#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "tokenizer/sentencepiece_base.h"
#include "tokenizer/string_index.h"

namespace lazyfill {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

struct Symbol {
  uint32_t begin = 0;    // in the normalised text
  uint32_t n_bytes = 0;  // 0: joined to the symbol before
  uint32_t previous = kNone;
  uint32_t next = kNone;
  int32_t id = -1;  // -1: no piece
};

struct Pair {
  float score = 0;
  uint32_t left = 0;
  uint32_t right = 0;
  uint32_t n_bytes = 0;
  int32_t id = -1;
  // The heap's top is its greatest element: the highest score, then the leftmost.
  bool operator<(const Pair& other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

class SentencePieceTokenizer final : public SentencePieceBase {
 public:
  SentencePieceTokenizer(Vocabulary vocabulary, const TokenizerData& data, CharacterMap map)
      : SentencePieceBase(std::move(vocabulary), data, std::move(map),
                          {.bos = data.add_bos.value_or(true), .eos = data.add_eos.value_or(false)}),
        scores_(data.scores),
        pieces_(n_tokens()) {
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const TokenType type = this->vocabulary().type(id);
      if (type != TokenType::kNormal && type != TokenType::kUnused) continue;
      const std::string_view text = this->vocabulary().text(id);
      pieces_.insert(text, id);
      max_piece_bytes_ = std::max(max_piece_bytes_, text.size());
    }
    find_unused_pieces();
  }
  std::string_view kind() const override { return "sentencepiece"; }

 private:
  bool words_are_apart() const override { return !has_unused_pieces_; }

  // How an unused piece came about: it may join on, but what ends as one is taken apart again. The last pair
  // that made a piece counts.
  using Halves = std::unordered_map<int32_t, uint32_t>;  // piece -> bytes of its left half

  // What all words of a text use in turn.
  struct Workspace {
    std::vector<Symbol> symbols;
    std::vector<Pair> heap;
    Halves halves;
    bool after_unknown = false;
  };

  void encode_normalized(std::string_view text, std::vector<int32_t>& ids) const override {
    Workspace work;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = has_unused_pieces_ ? text.size() : word_end(text, begin);
      encode_word(text.substr(begin, end - begin), work, ids);
      begin = end;
    }
  }

  void encode_word(std::string_view text, Workspace& work, std::vector<int32_t>& ids) const {
    split(text, work.symbols);
    merge(text, work);
    for (uint32_t i = 0; i != kNone; i = work.symbols[i].next) {
      const Symbol& symbol = work.symbols[i];
      append_ids(text.substr(symbol.begin, symbol.n_bytes), symbol.id, work, ids);
    }
  }

  // Into characters.
  void split(std::string_view text, std::vector<Symbol>& symbols) const {
    symbols.clear();
    for (size_t position = 0; position < text.size();) {
      Symbol symbol;
      symbol.begin = static_cast<uint32_t>(position);
      symbol.n_bytes = static_cast<uint32_t>(character_bytes(text, position));
      symbol.id = pieces_.find(text.substr(position, symbol.n_bytes));
      const auto index = static_cast<uint32_t>(symbols.size());
      if (index > 0) {
        symbol.previous = index - 1;
        symbols.back().next = index;
      }
      symbols.push_back(symbol);
      position += symbol.n_bytes;
    }
  }

  void consider(std::string_view text, uint32_t left, Workspace& work) const {
    const std::vector<Symbol>& symbols = work.symbols;
    if (left == kNone || symbols[left].next == kNone) return;
    const uint32_t right = symbols[left].next;
    const uint32_t n_bytes = symbols[left].n_bytes + symbols[right].n_bytes;
    if (n_bytes > max_piece_bytes_) return;
    const int32_t id = pieces_.find(text.substr(symbols[left].begin, n_bytes));
    if (id < 0) return;
    if (vocabulary().type(id) == TokenType::kUnused) work.halves[id] = symbols[left].n_bytes;
    work.heap.push_back({scores_[static_cast<size_t>(id)], left, right, n_bytes, id});
    std::push_heap(work.heap.begin(), work.heap.end());
  }

  void merge(std::string_view text, Workspace& work) const {
    std::vector<Symbol>& symbols = work.symbols;
    std::vector<Pair>& heap = work.heap;
    for (uint32_t i = 0; i < symbols.size(); ++i) consider(text, i, work);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Pair pair = heap.back();
      heap.pop_back();
      Symbol& left = symbols[pair.left];
      Symbol& right = symbols[pair.right];
      // A pair grows stale when another merge took one of its halves.
      if (left.n_bytes == 0 || right.n_bytes == 0 || left.n_bytes + right.n_bytes != pair.n_bytes) continue;
      left.n_bytes = pair.n_bytes;
      left.id = pair.id;
      left.next = right.next;
      if (left.next != kNone) symbols[left.next].previous = pair.left;
      right.n_bytes = 0;
      consider(text, left.previous, work);
      consider(text, pair.left, work);
    }
  }

  void append_ids(std::string_view text, int32_t id, Workspace& work, std::vector<int32_t>& ids) const {
    if (id >= 0 && work.halves.empty()) {  // all but always
      ids.push_back(id);
      work.after_unknown = false;
      return;
    }
    std::vector<std::pair<std::string_view, int32_t>> rest{{text, id}};  // from right to left
    while (!rest.empty()) {
      std::tie(text, id) = rest.back();
      rest.pop_back();
      if (const auto half = work.halves.find(id); half != work.halves.end()) {
        const std::string_view left = text.substr(0, half->second);
        const std::string_view right = text.substr(half->second);
        rest.emplace_back(right, pieces_.find(right));
        rest.emplace_back(left, pieces_.find(left));
      } else if (id >= 0) {
        ids.push_back(id);
        work.after_unknown = false;
      } else {
        work.after_unknown = append_unknown(text, work.after_unknown, ids);
      }
    }
  }

  bool can_stand(std::string_view text) const {
    return character_bytes(text, 0) == text.size() || pieces_.find(text) >= 0;
  }
  // Whether an unused piece can come about. Which halves it falls into is then a matter of the whole text.
  void find_unused_pieces() {
    for (size_t i = 0; i < n_tokens() && !has_unused_pieces_; ++i) {
      const auto id = static_cast<int32_t>(i);
      const std::string_view text = vocabulary().text(id);
      if (vocabulary().type(id) != TokenType::kUnused) continue;
      for (size_t n = 1; n < text.size() && !has_unused_pieces_; ++n) {
        has_unused_pieces_ = can_stand(text.substr(0, n)) && can_stand(text.substr(n));
      }
    }
  }

  std::vector<float> scores_;  // [n_tokens]
  StringIndex pieces_;
  size_t max_piece_bytes_ = 0;
  bool has_unused_pieces_ = false;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_sentencepiece_tokenizer(const TokenizerData& data) {
  if (auto checked = check_scores(data); !checked) return tl::unexpected(checked.error());
  auto vocabulary =
      Vocabulary::build(data, Vocabulary::Form::kPlain, {.bos = "<s>", .eos = "</s>", .separator = ""});
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  auto map = read_character_map(data);
  if (!map) return tl::unexpected(map.error());
  return std::make_unique<SentencePieceTokenizer>(std::move(*vocabulary), data, std::move(*map));
}

}  // namespace lazyfill
