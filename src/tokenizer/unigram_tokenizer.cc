// SentencePiece's unigram language model (Kudo, arXiv 1804.10959): of all ways to cut a text into pieces, the
// one whose scores, logarithms of probabilities, have the greatest sum. Found by Viterbi's algorithm from
// left to right, as fast as all pieces at every character can be listed.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "tokenizer/piece_trie.h"
#include "tokenizer/sentencepiece_base.h"

namespace lazyfill {
namespace {

// A long text is taken in portions that end with a word, so that what is kept for each place stays in the
// cache.
constexpr size_t kPortionBytes = size_t{1} << 16;
constexpr float kUnknownPenalty = 10.0F;  // below the least likely piece
// Sums of scores beyond this start anew from zero, before single precision loses digits that matter. Here and
// not elsewhere, because between ways that are nearly as good the rounding decides, and it depends on the
// sum.
constexpr float kGreatestSum = 100'000.0F;

class UnigramTokenizer final : public SentencePieceBase {
 public:
  UnigramTokenizer(Vocabulary vocabulary, const TokenizerData& data, CharacterMap map)
      : SentencePieceBase(std::move(vocabulary), data, std::move(map),
                          {.bos = data.add_bos.value_or(false), .eos = data.add_eos.value_or(true)}),
        scores_(data.scores) {
    std::vector<std::pair<std::string_view, int32_t>> pieces;
    float least = FLT_MAX;
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (this->vocabulary().type(id) != TokenType::kNormal) continue;
      pieces.emplace_back(this->vocabulary().text(id), id);
      least = std::min(least, scores_[i]);
    }
    unknown_score_ = least - kUnknownPenalty;
    pieces_ = PieceTrie(std::move(pieces));
  }
  std::string_view kind() const override { return "unigram"; }

 private:
  // Rounding depends on the sum of all scores before.
  bool words_are_apart() const override { return false; }

  // The best way to a place in the text. Single precision, because ties and near ties must fall as they do in
  // the library that trained the model.
  struct Best {
    float score = 0;
    int32_t id = -1;
    int32_t begin = -1;  // of the last piece; -1: no way yet
  };

  // What all portions of a text use in turn.
  struct Workspace {
    std::vector<Best> best;    // [n_bytes of the portion + 1]
    std::vector<size_t> ends;  // of the pieces, from right to left
    float score = 0;           // of the best way up to the portion
    bool after_unknown = false;
  };

  void encode_normalized(std::string_view text, std::vector<int32_t>& ids) const override {
    Workspace work;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = word_end(text, begin);
      while (end < text.size() && end - begin < kPortionBytes) end = word_end(text, end);
      encode_portion(text.substr(begin, end - begin), work, ids);
      begin = end;
    }
  }

  void encode_portion(std::string_view text, Workspace& work, std::vector<int32_t>& ids) const {
    std::vector<Best>& best = work.best;
    best.assign(text.size() + 1, {});
    best[0].score = work.score;
    size_t furthest = 0;  // that a way leads to
    for (size_t begin = 0; begin < text.size();) {
      if (std::fabs(best[begin].score) > kGreatestSum) start_anew(best, begin, furthest);
      const size_t n_character = character_bytes(text, begin);
      if (!extend_by_pieces(text, begin, n_character, best, furthest)) {
        offer(best[begin + n_character], best[begin].score + unknown_score_, -1, begin);
        furthest = std::max(furthest, begin + n_character);
      }
      begin += n_character;
    }
    work.score = best[text.size()].score;
    std::vector<size_t>& ends = work.ends;
    ends.clear();
    for (size_t end = text.size(); end > 0; end = static_cast<size_t>(best[end].begin)) ends.push_back(end);
    for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
      const Best& last = best[*end];
      const auto begin = static_cast<size_t>(last.begin);
      if (last.id >= 0) {
        ids.push_back(last.id);
        work.after_unknown = false;
      } else {
        work.after_unknown = append_unknown(text.substr(begin, *end - begin), work.after_unknown, ids);
      }
    }
  }

  // Whether one of the pieces is the character itself.
  bool extend_by_pieces(std::string_view text, size_t begin, size_t n_character, std::vector<Best>& best,
                        size_t& furthest) const {
    bool covers_character = false;
    uint32_t node = PieceTrie::kRoot;
    for (size_t end = begin; end < text.size();) {
      node = pieces_.next(node, static_cast<unsigned char>(text[end++]));
      if (node == PieceTrie::kNowhere) break;
      const int32_t id = pieces_.id(node);
      if (id < 0) continue;
      offer(best[end], best[begin].score + scores_[static_cast<size_t>(id)], id, begin);
      furthest = std::max(furthest, end);
      covers_character = covers_character || end - begin == n_character;
    }
    return covers_character;
  }

  // All ways that are still open lose what the best one to `begin` has.
  static void start_anew(std::vector<Best>& best, size_t begin, size_t furthest) {
    const float sum = best[begin].score;
    best[begin].score = 0;
    for (size_t end = begin + 1; end <= furthest; ++end) {
      if (best[end].begin >= 0) best[end].score -= sum;
    }
  }

  static void offer(Best& best, float score, int32_t id, size_t begin) {
    if (best.begin >= 0 && score <= best.score) return;
    best = {score, id, static_cast<int32_t>(begin)};
  }

  std::vector<float> scores_;  // [n_tokens]
  float unknown_score_ = 0;
  PieceTrie pieces_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_unigram_tokenizer(const TokenizerData& data) {
  if (auto checked = check_scores(data); !checked) return tl::unexpected(checked.error());
  auto vocabulary =
      Vocabulary::build(data, Vocabulary::Form::kPlain, {.bos = "", .eos = "</s>", .separator = ""});
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  auto map = read_character_map(data);
  if (!map) return tl::unexpected(map.error());
  return std::make_unique<UnigramTokenizer>(std::move(*vocabulary), data, std::move(*map));
}

}  // namespace lazyfill
