// What is kept of sequences that have ended, so that those which begin alike need not compute it again.
//
// Layers up to the first one that chooses among tokens know nothing of what was asked: they serve everybody,
// and lie in pieces that all sequences with these tokens share. What lies above was chosen by a question: it
// is the sequence's own, and serves whoever goes on with that question.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/sequence_cache.h"
#include "cache/stored_sequence.h"
#include "cache/token_tree.h"

namespace lazyfill {

class PrefixStore {
 public:
  explicit PrefixStore(size_t n_layers) : n_layers_(n_layers) {}

  struct Question {
    std::span<const int32_t> tokens;
    const PrefixPlan& plan;
    std::string_view salt;   // only what was stored under the same one is found
    size_t n_recompute = 1;  // newest tokens that are computed in any case
    size_t n_dense = 0;      // first tokens that the whole model is to compute: no lazy ones take their place
  };
  struct Hit {
    size_t n_tokens = 0;    // that need not be computed, or not up to the choosing layer
    size_t n_dense = 0;     // of them, those that dense rows computed in all layers
    bool is_whole = false;  // all layers of the others too: it goes on with what was asked then
    size_t n_agreeing = 0;  // tokens that the longest stored prefix agrees in, whether or not it is of use
  };
  // Finds what saves most work, and gives it to an empty cache. For lazy plans the cache then keeps what
  // enters the choosing layer (SequenceCache::keep_entered). Where it throws std::bad_alloc the cache is of
  // no use.
  Hit fill(SequenceCache& cache, const Question& question);

  struct Ended {
    std::span<const int32_t> tokens;  // as many as the cache holds
    size_t prompt_end = 0;            // tokens from here on answer it
    size_t n_dense = 0;               // first tokens that dense rows computed in all layers
    const PrefixPlan& plan;
    std::string_view salt;
  };
  // Keeps what a sequence has computed; only what is not here yet is copied. Throws std::bad_alloc, and is
  // then as it was.
  void keep(const SequenceCache& cache, const Ended& ended);
  // The first tokens of dense sequences (system message, tools) leave after all others, or when unpinned;
  // those that were kept.
  void pin(std::span<const int32_t> tokens, std::string_view salt);
  void unpin(std::span<const int32_t> tokens, std::string_view salt);

  uint64_t bytes() const { return counter_.bytes() + own_bytes_; }
  size_t n_sequences() const { return kept_.size(); }
  size_t n_salts() const { return pieces_.size(); }
  // Before a sequence goes that none goes on from.
  using Farewell = std::function<void(const StoredSequence&)>;
  void on_eviction(Farewell farewell) { farewell_ = std::move(farewell); }
  // Says farewell to all that are left.
  void for_each_kept(const Farewell& fn);
  // Work that the best of them saves a question, in tokens times layers; and that a sequence would.
  double most_work(const Question& question) const;
  double work_saved(const SequenceName& name, const Question& question) const;
  // Keeps a sequence that was kept before. Throws std::bad_alloc.
  void restore(StoredSequence sequence, CachePart own, std::vector<std::vector<float>> votes,
               SequenceCache::Shape shape);

  // Lets sequences go until there are at most so many bytes: first those that another one goes on from, then
  // those that were not used for longest, and pinned ones last.
  void evict_to(uint64_t bytes);

 private:
  struct Kept {
    SequenceName name;
    CachePart own;                          // as in StoredSequence
    std::vector<std::vector<float>> votes;  // likewise
    double saved_for_revival = 0;
    uint64_t own_bytes = 0;
    uint64_t last_use = 0;
    bool is_superseded = false;
    bool is_pinned = false;
  };
  using Lower = std::pair<size_t, float>;  // choosing layer and attention mass
  // Pieces under one salt: dense in all layers, or lazy up to a choosing one.
  struct Pieces {
    TokenTree dense;
    std::map<Lower, TokenTree> lower;  // without what is dense
  };
  struct Found {
    std::vector<PartRange> takes;  // in the order of tokens
    size_t n_tokens = 0;
    size_t n_dense = 0;
    size_t lower_layer = 0;  // choosing layer of those that are not dense
  };

  struct Gift {
    std::vector<PartRange> parts;
    const CachePart* own;
    std::vector<std::span<const float>> votes;
    double saved_for_revival;
  };
  static void give(const Gift& gift, const Found& found, SequenceCache& cache);
  StoredSequence stored(const Kept& kept);
  Found find_pieces(const Question& question);
  Kept* find_whole(const Question& question, size_t& n_tokens, size_t& n_agreeing);
  void take_pieces(std::span<const int32_t> tokens, std::string_view salt, size_t n_dense, const Lower& kind,
                   Found& found);
  Pieces& pieces(std::string_view salt);
  // Makes the part of these tokens in the layers before end_layer.
  using MakePart =
      std::function<std::shared_ptr<const CachePart>(TokenIndex begin, TokenIndex end, size_t end_layer)>;
  void fill_tree(const Kept& kept, const MakePart& make_part);
  void add(std::list<Kept> one, const MakePart& make_part);
  void remove(std::list<Kept>::iterator kept);
  double work(const Found& found) const;

  const size_t n_layers_;
  PartCounter counter_;
  std::map<std::string, Pieces, std::less<>> pieces_;  // by salt
  std::list<Kept> kept_;
  uint64_t own_bytes_ = 0;
  uint64_t now_ = 0;
  Farewell farewell_;
};

}  // namespace lazyfill
