#include <algorithm>
#include <vector>

#include "decoding/drafter.h"

namespace lazyfill {
namespace {

constexpr float kLearned = 1.0F / 64;  // what one choice counts in a chance

// The static tree of the paper (appendix; tree "2.2.2" of its code): children of each node, level by level.
// A node's children are the likeliest tokens behind it.
constexpr uint8_t kChildren[] = {8,                       // the newest token
                                 8, 4, 3, 2, 1, 1, 1, 1,  // 8 nodes
                                 8, 3, 2, 1, 1, 1, 1, 1, 2, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0,  // 21
                                 5, 2, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0,
                                 1, 1, 0, 0,                                   // 25
                                 3, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0,  // 15
                                 2, 0, 0, 1, 0, 0, 0, 0,                       // 8
                                 0, 0, 0};                                     // 3

class Recycler final : public Drafter {
 public:
  explicit Recycler(std::shared_ptr<DraftMemory> memory) : memory_(std::move(memory)) {}

  void read(std::span<const int32_t> prompt) override {
    memory_->with_table([&](RecycleTable& table) {
      for (size_t i = 1; i < prompt.size(); ++i) table.put_first(prompt[i - 1], prompt[i]);
    });
  }

  DraftTree propose(std::span<const int32_t> text) override {
    DraftTree tree(text.back());
    memory_->with_table([&](const RecycleTable& table) {
      // Places in the static tree whose token is known, by node.
      std::vector<size_t> place = {0};
      std::vector<size_t> first_child = {1};  // by place
      for (size_t at = 0; at + 1 < std::size(kChildren); ++at)
        first_child.push_back(first_child.back() + kChildren[at]);
      for (size_t node = 0; node < tree.tokens.size(); ++node) {
        const RecycleTable::Row row = table.behind(tree.tokens[node]);
        const size_t n = std::min<size_t>(row.n, kChildren[place[node]]);
        for (size_t rank = 0; rank < n; ++rank) {
          place.push_back(first_child[place[node]] + rank);
          tree.add(row.tokens[rank], node, table.chance(tree.tokens[node], rank));
        }
      }
    });
    return tree;
  }

  void chose(std::span<const int32_t> text) override {
    if (text.size() < 2) return;
    memory_->with_table([&](RecycleTable& table) { table.chose(text[text.size() - 2], text.back()); });
  }

  size_t wants_likeliest() const override { return RecycleTable::kLikely; }

  void saw(int32_t token, std::span<const int32_t> likeliest) override {
    memory_->with_table([&](RecycleTable& table) { table.set(token, likeliest); });
  }

 private:
  std::shared_ptr<DraftMemory> memory_;
};

}  // namespace

RecycleTable::Row RecycleTable::behind(int32_t token) const {
  Row row;
  const int32_t* from = &rows_[static_cast<size_t>(token) * kLikely];
  while (row.n < kLikely && from[row.n] != 0) {
    row.tokens[row.n] = from[row.n] - 1;
    ++row.n;
  }
  return row;
}

void RecycleTable::set(int32_t token, std::span<const int32_t> likeliest) {
  int32_t* row = &rows_[static_cast<size_t>(token) * kLikely];
  for (size_t i = 0; i < kLikely; ++i) row[i] = i < likeliest.size() ? likeliest[i] + 1 : 0;
}

void RecycleTable::put_first(int32_t token, int32_t next) {
  int32_t* row = &rows_[static_cast<size_t>(token) * kLikely];
  int32_t* end = std::find(row, row + kLikely - 1, next + 1);
  std::move_backward(row, end, end + 1);
  *row = next + 1;
}

float RecycleTable::chance(int32_t token, size_t rank) const {
  return chances_[right_[static_cast<size_t>(token)]][rank];
}

void RecycleTable::chose(int32_t token, int32_t next) {
  const Row row = behind(token);
  if (row.n == 0) return;
  uint8_t& right = right_[static_cast<size_t>(token)];
  Chances& chances = chances_[right];
  for (size_t rank = 0; rank < row.n; ++rank)
    chances[rank] += kLearned * ((row.tokens[rank] == next ? 1.0F : 0.0F) - chances[rank]);
  const bool was_right = row.tokens[0] == next;
  if (was_right && right + 1U < kClasses) ++right;
  if (!was_right && right > 0) --right;
}

std::unique_ptr<Drafter> make_recycler(std::shared_ptr<DraftMemory> memory) {
  return std::make_unique<Recycler>(std::move(memory));
}

}  // namespace lazyfill
