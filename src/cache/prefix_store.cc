#include "cache/prefix_store.h"

#include <algorithm>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#include "base/common_prefix.h"

namespace lazyfill {
namespace {

std::pair<size_t, float> kind_of(const PrefixPlan& plan) {
  return {plan.first_choosing, plan.attention_mass};
}

// Tokens that need not be computed.
size_t n_usable_of(const PrefixStore::Question& question) {
  return question.tokens.size() - std::min(question.tokens.size(), question.n_recompute);
}

}  // namespace

PrefixStore::Pieces& PrefixStore::pieces(std::string_view salt) {
  const auto found = pieces_.find(salt);
  if (found != pieces_.end()) return found->second;
  return pieces_.emplace(std::string(salt), Pieces{TokenTree(counter_), {}}).first->second;
}

// Dense pieces of the first n_dense tokens, as far as there are any, and behind them pieces up to the
// choosing layer, as far as those reach.
void PrefixStore::take_pieces(std::span<const int32_t> tokens, std::string_view salt, size_t n_dense,
                              const Lower& kind, Found& found) {
  const auto take = [&](const TokenTree::Match& match, size_t from, size_t to) {
    for (const TokenTree::Node* node : match.path) {
      const auto begin = std::max(node->begin, static_cast<TokenIndex>(from));
      const auto end = std::min(node->end(), static_cast<TokenIndex>(std::min(match.n_tokens, to)));
      if (begin >= end) continue;
      if (node->part == nullptr || begin != static_cast<TokenIndex>(found.n_tokens)) return;
      found.takes.push_back({node->part, begin, end});
      found.n_tokens = static_cast<size_t>(end);
    }
  };
  const auto under_salt = pieces_.find(salt);
  if (under_salt == pieces_.end()) return;
  Pieces& all = under_salt->second;
  take(all.dense.find(tokens), 0, n_dense);
  found.n_dense = found.n_tokens;
  found.lower_layer = kind.first;
  if (const auto lower = all.lower.find(kind); lower != all.lower.end())
    take(lower->second.find(tokens), found.n_dense, tokens.size());
}

double PrefixStore::work(const Found& found) const {
  return static_cast<double>(found.n_dense * n_layers_) +
         static_cast<double>((found.n_tokens - found.n_dense) * (found.lower_layer + 1));
}

PrefixStore::Found PrefixStore::find_pieces(const Question& question) {
  const auto tokens = question.tokens.first(n_usable_of(question));
  Found best;
  std::vector<Lower> kinds = {kind_of(question.plan)};
  const auto under_salt = pieces_.find(question.salt);
  if (under_salt == pieces_.end()) return best;
  if (question.plan.is_dense(n_layers_)) {
    for (const auto& [kind, _] : under_salt->second.lower)
      if (kind.second == 1) kinds.push_back(kind);
  }
  for (const Lower& kind : kinds) {
    Found found;
    take_pieces(tokens, question.salt, tokens.size(), kind, found);
    if (found.n_dense < question.n_dense) {
      std::erase_if(found.takes,
                    [&](const PartRange& take) { return take.end > static_cast<TokenIndex>(found.n_dense); });
      found.n_tokens = found.n_dense;
    }
    if (work(found) > work(best)) best = std::move(found);
  }
  return best;
}

// The sequence with the same plan that the question goes on with longest: it has all that was asked in
// common, or the salt says that any part may be shared.
PrefixStore::Kept* PrefixStore::find_whole(const Question& question, size_t& n_tokens, size_t& n_agreeing) {
  Kept* best = nullptr;
  Kept* nearest = nullptr;
  n_tokens = 0;
  for (Kept& kept : kept_) {
    if (kept.name.salt != question.salt) continue;
    const size_t n = common_prefix(kept.name.tokens, question.tokens);
    if (nearest == nullptr || n > n_agreeing) nearest = &kept;
    n_agreeing = std::max(n_agreeing, n);
    if (kept.name.plan.is_dense(n_layers_) || kept.name.plan.name != question.plan.name) continue;
    if (question.salt.empty() && n < kept.name.prompt_end) continue;
    const size_t n_usable = std::min(n, n_usable_of(question));
    if (n_usable == 0 || n_usable < n_tokens) continue;  // of two alike the newer one
    if (kept.name.n_dense < std::min(n_usable, question.n_dense)) continue;
    best = &kept;
    n_tokens = n_usable;
  }
  if (nearest != nullptr && n_agreeing > 0) nearest->last_use = ++now_;
  if (best != nullptr) best->last_use = ++now_;
  return best;
}

PrefixStore::Hit PrefixStore::fill(SequenceCache& cache, const Question& question) {
  Hit hit;
  size_t n_whole = 0;
  Kept* whole = find_whole(question, n_whole, hit.n_agreeing);
  Found found = find_pieces(question);
  hit.is_whole = whole != nullptr && static_cast<double>(n_whole * n_layers_) > work(found);
  if (hit.is_whole) {
    found = {};
    take_pieces(std::span(whole->name.tokens).first(n_whole), question.salt, whole->name.n_dense,
                kind_of(whole->name.plan), found);
  }
  hit.n_tokens = found.n_tokens;
  hit.n_dense = found.n_dense;
  const bool is_dense = question.plan.is_dense(n_layers_);
  if (hit.is_whole) {
    give({std::move(found.takes),
          &whole->own,
          {whole->votes.begin(), whole->votes.end()},
          whole->saved_for_revival},
         found, cache);
  } else {
    give({std::move(found.takes), nullptr, {}, 0}, found, cache);
  }
  if (!is_dense && !cache.entered_layer()) cache.keep_entered(question.plan.first_choosing);
  return hit;
}

// To an empty cache: first what is dense, then what comes back at the choosing layer, and what lies above it.
void PrefixStore::give(const Gift& gift, const Found& found, SequenceCache& cache) {
  for (const PartRange& take : gift.parts) {
    if (take.begin == static_cast<TokenIndex>(found.n_dense)) cache.keep_entered(found.lower_layer);
    cache.take_part(*take.part, take.begin, take.end);
  }
  if (found.n_dense == found.n_tokens) return;
  if (gift.own != nullptr) {
    const auto end = static_cast<TokenIndex>(found.n_tokens);
    cache.take_part(*gift.own, gift.own->begin, end);
    for (size_t i = 0; i < gift.votes.size(); ++i) {
      if (!gift.votes[i].empty())
        cache.votes(found.lower_layer + i).set(0, gift.votes[i].first(found.n_tokens));
    }
    cache.save_for_revival(gift.saved_for_revival);
  }
  cache.revive_entered();
}

void PrefixStore::fill_tree(const Kept& kept, const MakePart& make_part) {
  Pieces& all = pieces(kept.name.salt);
  const auto fill = [&](TokenTree& tree, std::span<const int32_t> tokens, size_t first, size_t end_layer) {
    const std::vector<TokenTree::Node*> path = tree.use(tokens, first);
    try {
      for (TokenTree::Node* node : path) {
        if (node->part != nullptr || node->begin < static_cast<TokenIndex>(first)) continue;
        tree.set_part(*node, make_part(node->begin, node->end(), end_layer));
      }
    } catch (...) {
      tree.release(tokens);
      throw;
    }
  };
  const std::span<const int32_t> tokens = kept.name.tokens;
  fill(all.dense, tokens.first(kept.name.n_dense), 0, n_layers_);
  if (kept.name.n_dense == tokens.size()) return;
  const size_t layer = kept.name.plan.first_choosing;
  try {
    fill(all.lower.try_emplace(kind_of(kept.name.plan), counter_).first->second, tokens, kept.name.n_dense,
         layer + 1);
  } catch (...) {
    all.dense.release(tokens.first(kept.name.n_dense));
    throw;
  }
}

void PrefixStore::keep(const SequenceCache& cache, const Ended& ended) {
  std::list<Kept> one;
  Kept& kept = one.emplace_back();
  kept.name.tokens.assign(ended.tokens.begin(), ended.tokens.end());
  kept.name.prompt_end = ended.prompt_end;
  kept.name.plan = ended.plan;
  kept.name.salt = ended.salt;
  const bool is_dense = ended.plan.is_dense(n_layers_);
  kept.name.n_dense = is_dense ? kept.name.tokens.size() : ended.n_dense;
  if (kept.name.n_dense < kept.name.tokens.size()) {
    const auto begin = static_cast<TokenIndex>(kept.name.n_dense);
    const auto end = static_cast<TokenIndex>(kept.name.tokens.size());
    const size_t layer = kept.name.plan.first_choosing;
    if (cache.entered_layer() != layer || cache.entered_from() > begin) return;
    kept.own = cache.copy_part(begin, end, layer + 1, n_layers_, false);
    for (size_t i = layer; i < n_layers_; ++i) kept.votes.push_back(cache.votes(i).of(0, end));
    kept.saved_for_revival = cache.saved_for_revival();
  }
  add(std::move(one), [&](TokenIndex begin, TokenIndex end, size_t end_layer) {
    return std::make_shared<CachePart>(cache.copy_part(begin, end, 0, end_layer, end_layer < n_layers_));
  });
}

void PrefixStore::add(std::list<Kept> one, const MakePart& make_part) {
  Kept& kept = one.front();
  kept.own_bytes = sizeof(Kept) + kept.name.tokens.size() * sizeof(int32_t) + kept.own.bytes();
  for (const auto& votes : kept.votes) kept.own_bytes += votes.size() * sizeof(float);
  fill_tree(kept, make_part);
  for (Kept& other : kept_) {
    const bool is_kind = other.name.plan.name == kept.name.plan.name || other.name.plan.name == kCutPlan;
    if (other.is_pinned || other.name.salt != kept.name.salt || !is_kind) continue;
    other.is_superseded |=
        begins_with(kept.name.tokens, std::span(other.name.tokens).first(other.name.prompt_end));
  }
  kept.last_use = ++now_;
  own_bytes_ += kept.own_bytes;
  kept_.splice(kept_.end(), one);
}

void PrefixStore::pin(std::span<const int32_t> tokens, std::string_view salt) {
  for (Kept& kept : kept_) {
    if (!kept.is_pinned || kept.name.salt != salt || !std::ranges::equal(kept.name.tokens, tokens)) continue;
    kept.last_use = ++now_;
    return;
  }
  std::list<Kept> one;
  Kept& kept = one.emplace_back();
  kept.name.tokens.assign(tokens.begin(), tokens.end());
  kept.name.n_dense = kept.name.prompt_end = tokens.size();
  kept.name.plan.first_choosing = n_layers_;
  kept.name.salt = salt;
  kept.is_pinned = true;
  kept.last_use = ++now_;
  kept.own_bytes = sizeof(Kept) + tokens.size() * sizeof(int32_t);
  pieces(salt).dense.use(tokens, 0);
  own_bytes_ += kept.own_bytes;
  kept_.splice(kept_.end(), one);
}

void PrefixStore::unpin(std::span<const int32_t> tokens, std::string_view salt) {
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (kept->is_pinned && kept->name.salt == salt && std::ranges::equal(kept->name.tokens, tokens))
      return remove(kept);
  }
}

void PrefixStore::remove(std::list<Kept>::iterator kept) {
  Pieces& all = pieces(kept->name.salt);
  const std::span<const int32_t> tokens = kept->name.tokens;
  all.dense.release(tokens.first(kept->name.n_dense));
  if (kept->name.n_dense < tokens.size()) {
    all.lower.at(kind_of(kept->name.plan)).release(tokens);
    std::erase_if(all.lower, [](const auto& lower) { return lower.second.empty(); });
  }
  // Salts come and go with those who ask.
  if (all.dense.empty() && all.lower.empty()) pieces_.erase(kept->name.salt);
  own_bytes_ -= kept->own_bytes;
  kept_.erase(kept);
}

StoredSequence PrefixStore::stored(const Kept& kept) {
  Found found;
  take_pieces(kept.name.tokens, kept.name.salt, kept.name.n_dense, kind_of(kept.name.plan), found);
  return {kept.name,
          std::move(found.takes),
          &kept.own,
          {kept.votes.begin(), kept.votes.end()},
          kept.saved_for_revival};
}

void PrefixStore::for_each_kept(const Farewell& fn) {
  for (const Kept& kept : kept_) {
    if (!kept.is_superseded && !kept.is_pinned) fn(stored(kept));
  }
}

double PrefixStore::most_work(const Question& question) const {
  double most = 0;
  for (const Kept& kept : kept_) most = std::max(most, work_saved(kept.name, question));
  return most;
}

double PrefixStore::work_saved(const SequenceName& name, const Question& question) const {
  if (name.salt != question.salt) return 0;
  const size_t n_agreeing = common_prefix(name.tokens, question.tokens);
  const size_t n = std::min(n_agreeing, n_usable_of(question));
  const size_t n_dense = std::min(n, name.n_dense);
  const bool goes_on = !name.salt.empty() || n_agreeing >= name.prompt_end;
  const bool is_dense_enough = n_dense >= std::min(n, question.n_dense);
  if (name.plan.name == question.plan.name && goes_on && is_dense_enough)
    return static_cast<double>(n * n_layers_);
  const bool is_kind = question.plan.is_dense(n_layers_) ? name.plan.attention_mass == 1
                                                         : kind_of(name.plan) == kind_of(question.plan);
  const bool serves = is_kind && is_dense_enough;
  return static_cast<double>(n_dense * n_layers_) +
         static_cast<double>(serves ? (n - n_dense) * (name.plan.first_choosing + 1) : 0);
}

void PrefixStore::restore(StoredSequence sequence, CachePart own, std::vector<std::vector<float>> votes,
                          SequenceCache::Shape shape) {
  std::list<Kept> one;
  Kept& kept = one.emplace_back();
  kept.name = sequence.name;
  kept.own = std::move(own);
  kept.votes = std::move(votes);
  kept.saved_for_revival = sequence.saved_for_revival;
  // Pieces are cut here as they were there, unless others branch off elsewhere: then they are cut from a
  // cache.
  std::optional<SequenceCache> cache;
  add(std::move(one),
      [&](TokenIndex begin, TokenIndex end, size_t end_layer) -> std::shared_ptr<const CachePart> {
        for (const PartRange& range : sequence.parts) {
          if (range.begin == begin && range.end == end) return range.part;
        }
        if (!cache) {
          shape.capacity_tokens = sequence.name.tokens.size();
          const Found found{
              {}, shape.capacity_tokens, sequence.name.n_dense, sequence.name.plan.first_choosing};
          give({sequence.parts, nullptr, {}, 0}, found, cache.emplace(shape));
        }
        return std::make_shared<CachePart>(cache->copy_part(begin, end, 0, end_layer, end_layer < n_layers_));
      });
}

void PrefixStore::evict_to(uint64_t bytes) {
  const auto goes_before = [](const Kept& a, const Kept& b) {
    return std::tuple(a.is_pinned, !a.is_superseded, a.last_use) <
           std::tuple(b.is_pinned, !b.is_superseded, b.last_use);
  };
  while (this->bytes() > bytes && !kept_.empty()) {
    const auto next = std::min_element(kept_.begin(), kept_.end(), goes_before);
    try {
      if (farewell_ && !next->is_superseded && !next->is_pinned) farewell_(stored(*next));
    } catch (const std::bad_alloc&) {  // then it goes without
    }
    remove(next);
  }
}

}  // namespace lazyfill
