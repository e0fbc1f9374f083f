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
#include "cache/token_tree.h"

namespace lazyfill {

// How a sequence computes: what may be shared follows from it.
struct PrefixPlan {
  std::string name;           // schedule, policy and their switches
  size_t first_choosing = 0;  // layer; the number of layers: dense
  float attention_mass = 1;   // below 1, what layers up to that one compute is no dense row's
  bool is_dense(size_t n_layers) const { return first_choosing == n_layers; }
};

class PrefixStore {
 public:
  explicit PrefixStore(size_t n_layers) : n_layers_(n_layers) {}

  struct Question {
    std::span<const int32_t> tokens;
    const PrefixPlan& plan;
    std::string_view salt;   // only what was stored under the same one is found
    size_t n_recompute = 1;  // newest tokens that are computed in any case
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
  // The first tokens of dense sequences (system message, tools) stay until unpinned, those that were kept.
  void pin(std::span<const int32_t> tokens, std::string_view salt);
  void unpin(std::span<const int32_t> tokens, std::string_view salt);

  uint64_t bytes() const { return counter_.bytes() + own_bytes_; }
  size_t n_sequences() const { return kept_.size(); }
  // Lets sequences go until there are at most so many bytes, or only pinned ones: first those that another
  // one goes on from, then those that were not used for longest.
  void evict_to(uint64_t bytes);

 private:
  struct Kept {
    std::vector<int32_t> tokens;
    size_t prompt_end = 0;
    size_t n_dense = 0;
    PrefixPlan plan;
    std::string salt;
    CachePart own;                   // of tokens from n_dense on, the layers above the choosing one
    std::vector<float> first_votes;  // of those, at the choosing layer
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
  // A piece and how much of it.
  struct Take {
    std::shared_ptr<const CachePart> part;
    TokenIndex begin;
    TokenIndex end;
  };
  struct Found {
    std::vector<Take> takes;  // in the order of tokens
    size_t n_tokens = 0;
    size_t n_dense = 0;
    size_t lower_layer = 0;  // choosing layer of those that are not dense
  };

  Found find_pieces(const Question& question);
  Kept* find_whole(const Question& question, size_t& n_tokens, size_t& n_agreeing);
  void take_pieces(std::span<const int32_t> tokens, std::string_view salt, size_t n_dense, const Lower& kind,
                   Found& found);
  Pieces& pieces(std::string_view salt);
  void fill_tree(const SequenceCache& cache, const Kept& kept);
  void remove(std::list<Kept>::iterator kept);
  double work(const Found& found) const;

  const size_t n_layers_;
  PartCounter counter_;
  std::map<std::string, Pieces, std::less<>> pieces_;  // by salt
  std::list<Kept> kept_;
  uint64_t own_bytes_ = 0;
  uint64_t now_ = 0;
};

}  // namespace lazyfill
