// SentencePiece's BPE (Kudo and Richardson, arXiv 1808.06226): spaces are U+2581, the neighbours that make
// the piece of the highest score join first, the leftmost of equals; what no piece covers is spelled in
// bytes.
#include <algorithm>
#include <array>
#include <limits>

#include "tokenizer/string_index.h"
#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    const size_t found = std::min(text.find(from, position), text.size());
    out.append(text, position, found - position);
    if (found == text.size()) break;
    out.append(to);
    position = found + from.size();
  }
  return out;
}

// The byte that a token such as "<0x0A>" stands for.
std::optional<unsigned char> byte_of(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';
    if (!digit && !letter) return std::nullopt;
    value = value * 16 + (digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<unsigned char>(value);
}

struct Symbol {
  uint32_t begin = 0;    // in the escaped text
  uint32_t n_bytes = 0;  // 0: joined to the symbol before
  uint32_t previous = kNone;
  uint32_t next = kNone;
  int32_t id = -1;      // -1: no piece
  bool frozen = false;  // a user-defined token never joins
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

class SentencePieceTokenizer final : public VocabularyTokenizer {
 public:
  // Escaped user-defined tokens must lie still in memory before the matcher takes views of them.
  SentencePieceTokenizer(Vocabulary vocabulary, const TokenizerData& data)
      : VocabularyTokenizer(std::move(vocabulary), {}, data.add_bos.value_or(true),
                            data.add_eos.value_or(false)),
        scores_(data.scores),
        pieces_(n_tokens()),
        add_space_prefix_(data.add_space_prefix.value_or(true)) {
    byte_ids_.fill(-1);
    std::vector<int32_t> user_defined;
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const TokenType type = this->vocabulary().type(id);
      const std::string_view text = this->vocabulary().text(id);
      if (type == TokenType::kNormal) {
        pieces_.insert(text, id);
        max_piece_bytes_ = std::max(max_piece_bytes_, text.size());
      } else if (type == TokenType::kUserDefined) {
        user_defined.push_back(id);
      } else if (type == TokenType::kByte) {
        if (const auto byte = byte_of(text)) byte_ids_[*byte] = id;
      }
    }
    escaped_.reserve(user_defined.size());
    std::vector<std::pair<std::string_view, int32_t>> literals;
    for (const int32_t id : user_defined) {
      escaped_.push_back(replace_all(this->vocabulary().text(id), " ", kSpace));
      literals.emplace_back(escaped_.back(), id);
    }
    user_defined_ = PrefixMatcher(std::move(literals));
  }

  std::string piece(int32_t id, bool with_special) const override {
    const TokenType type = vocabulary().type(id);
    if (vocabulary().is_special(id)) return with_special ? std::string(vocabulary().text(id)) : std::string();
    if (type == TokenType::kByte) {
      if (const auto byte = byte_of(vocabulary().text(id))) return std::string(1, static_cast<char>(*byte));
    }
    return replace_all(vocabulary().text(id), kSpace, " ");
  }
  std::string decode(const std::vector<int32_t>& ids, bool with_special) const override {
    std::string text = VocabularyTokenizer::decode(ids, with_special);
    const bool starts_plain = !ids.empty() && !vocabulary().is_special(ids.front());
    const bool hidden_bos = !ids.empty() && !with_special;
    if (add_space_prefix_ && (starts_plain || hidden_bos) && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }
  std::string_view kind() const override { return "sentencepiece"; }

 private:
  Result<void> encode_text(std::string_view text, std::vector<int32_t>& ids) const override {
    std::string escaped = replace_all(text, " ", kSpace);
    if (add_space_prefix_) escaped.insert(0, kSpace);
    std::vector<Symbol> symbols = split(escaped);
    merge(escaped, symbols);
    bool after_unknown = false;
    for (uint32_t i = 0; i != kNone; i = symbols[i].next) {
      const bool known = append_ids(escaped, symbols[i], after_unknown, ids);
      after_unknown = !known;
    }
    return {};
  }

  // Characters and user-defined tokens.
  std::vector<Symbol> split(std::string_view text) const {
    std::vector<Symbol> symbols;
    for (size_t position = 0; position < text.size();) {
      const PrefixMatcher::Match match = user_defined_.longest(text, position);
      Symbol symbol;
      symbol.begin = static_cast<uint32_t>(position);
      symbol.frozen = match.id >= 0;
      symbol.n_bytes =
          static_cast<uint32_t>(symbol.frozen ? match.n_bytes : utf8::decode(text, position).n_bytes);
      symbol.id = symbol.frozen ? match.id : pieces_.find(text.substr(position, symbol.n_bytes));
      const auto index = static_cast<uint32_t>(symbols.size());
      if (index > 0) {
        symbol.previous = index - 1;
        symbols.back().next = index;
      }
      symbols.push_back(symbol);
      position += symbol.n_bytes;
    }
    return symbols;
  }

  void consider(std::string_view text, const std::vector<Symbol>& symbols, uint32_t left,
                std::vector<Pair>& heap) const {
    if (left == kNone || symbols[left].next == kNone) return;
    const uint32_t right = symbols[left].next;
    if (symbols[left].frozen || symbols[right].frozen) return;
    const uint32_t n_bytes = symbols[left].n_bytes + symbols[right].n_bytes;
    if (n_bytes > max_piece_bytes_) return;
    const int32_t id = pieces_.find(text.substr(symbols[left].begin, n_bytes));
    if (id < 0) return;
    heap.push_back({scores_[static_cast<size_t>(id)], left, right, n_bytes, id});
    std::push_heap(heap.begin(), heap.end());
  }

  void merge(std::string_view text, std::vector<Symbol>& symbols) const {
    std::vector<Pair> heap;
    for (uint32_t i = 0; i < symbols.size(); ++i) consider(text, symbols, i, heap);
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
      consider(text, symbols, left.previous, heap);
      consider(text, symbols, pair.left, heap);
    }
  }

  // False for a symbol that became the unknown token; a run of those becomes one.
  bool append_ids(std::string_view text, const Symbol& symbol, bool after_unknown,
                  std::vector<int32_t>& ids) const {
    if (symbol.id >= 0) {
      ids.push_back(symbol.id);
      return true;
    }
    const std::string_view bytes = text.substr(symbol.begin, symbol.n_bytes);
    const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (std::all_of(bytes.begin(), bytes.end(), [&](char c) { return id_of(c) >= 0; })) {
      for (const char c : bytes) ids.push_back(id_of(c));
      return true;
    }
    if (vocabulary().unknown_id() >= 0 && !after_unknown) ids.push_back(vocabulary().unknown_id());
    return false;
  }

  std::vector<float> scores_;  // [n_tokens]
  StringIndex pieces_;
  size_t max_piece_bytes_ = 0;
  std::vector<std::string> escaped_;  // user-defined tokens with U+2581 for spaces
  PrefixMatcher user_defined_;
  std::array<int32_t, 256> byte_ids_{};
  bool add_space_prefix_ = true;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_sentencepiece_tokenizer(const TokenizerData& data) {
  if (data.scores.size() != data.tokens.size()) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.scores has " + std::to_string(data.scores.size()) +
                                             " entries for " + std::to_string(data.tokens.size()) +
                                             " tokens");
  }
  if (std::any_of(data.scores.begin(), data.scores.end(), [](float score) { return score != score; })) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.scores holds a value that is not a number");
  }
  auto vocabulary = Vocabulary::build(data, Vocabulary::Form::kPlain);
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  return std::make_unique<SentencePieceTokenizer>(std::move(*vocabulary), data);
}

}  // namespace lazyfill
