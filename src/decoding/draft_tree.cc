#include "decoding/draft_tree.h"

#include <algorithm>
#include <numeric>

namespace lazyfill {
namespace {

// A step of drafts costs what no clock sees beforehand too: logits are looked at, tables kept.
constexpr double kWorthwhile = 1.03;

// Nodes within the depth, likeliest first: a parent before its children.
std::vector<size_t> by_chance(const DraftTree& tree, const DraftLimits& limits) {
  std::vector<size_t> nodes;
  std::vector<size_t> depths(tree.tokens.size());
  for (size_t i = 1; i < tree.tokens.size(); ++i) {
    depths[i] = depths[static_cast<size_t>(tree.parents[i])] + 1;
    if (depths[i] <= limits.depth) nodes.push_back(i);
  }
  std::stable_sort(nodes.begin(), nodes.end(),
                   [&](size_t a, size_t b) { return tree.chances[a] > tree.chances[b]; });
  nodes.resize(std::min(nodes.size(), limits.n_drafts));
  return nodes;
}

}  // namespace

void DraftTree::add(int32_t token, size_t parent, float chance) {
  tokens.push_back(token);
  parents.push_back(static_cast<int32_t>(parent));
  chances.push_back(chances[parent] * chance);
}

size_t DraftTree::depth(size_t node) const {
  size_t n = 0;
  for (; parents[node] >= 0; node = static_cast<size_t>(parents[node])) ++n;
  return n;
}

size_t DraftTree::child(size_t node, int32_t token) const {
  for (size_t i = node + 1; i < tokens.size(); ++i) {
    if (parents[i] == static_cast<int32_t>(node) && tokens[i] == token) return i;
  }
  return 0;
}

DraftTree likeliest(const DraftTree& tree, const DraftLimits& limits) {
  std::vector<size_t> nodes = by_chance(tree, limits);
  std::sort(nodes.begin(), nodes.end());
  DraftTree chosen(tree.tokens[0]);
  std::vector<size_t> place(tree.tokens.size());  // in `chosen`, of those that are there
  for (size_t node : nodes) {
    place[node] = chosen.tokens.size();
    chosen.tokens.push_back(tree.tokens[node]);
    chosen.parents.push_back(static_cast<int32_t>(place[static_cast<size_t>(tree.parents[node])]));
    chosen.chances.push_back(tree.chances[node]);
  }
  return chosen;
}

DraftPromise best_promise(const DraftTree& tree, const DraftLimits& limits,
                          FunctionRef<double(size_t)> cost) {
  DraftPromise best;
  double n_tokens = 1;
  size_t n_drafts = 0;
  for (size_t node : by_chance(tree, limits)) {
    n_tokens += tree.chances[node];
    const double gain = n_tokens / cost(++n_drafts);
    if (gain > std::max(best.gain, kWorthwhile)) best = {n_drafts, gain};
  }
  return best;
}

}  // namespace lazyfill
