// Arrays: items by their places, how many, and how many of a kind.
#include <algorithm>

#include "decoding/schema_compiler.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostPlaces = 2000;  // with items of their own
constexpr size_t kMostKinds = 3;      // of "contains" for one array
constexpr uint32_t kMostOfAKind = 1000;

struct Kind {  // of "contains"
  const Json* schema;
  uint32_t min;
  uint32_t max;
};

class ArrayShape : public std::enable_shared_from_this<ArrayShape> {
 public:
  ArrayShape(SchemaCompiler& compiler, const Conjunction& schemas, Side side)
      : compiler_(compiler), terms_(compiler.terms()), schemas_(schemas), side_(side) {}

  Result<Term> make() {
    for (const Json* schema : schemas_) read(*schema);
    if (min_ > max_) return kNothing;
    if (kinds_.size() > kMostKinds || std::any_of(kinds_.begin(), kinds_.end(), [](const Kind& kind) {
          return kind.min > kMostOfAKind || (kind.max != kUnbounded && kind.max > kMostOfAKind);
        }))
      return fail(ErrorCode::kUnsupported,
                  "the schema's keyword \"contains\" is not supported with so much of it upon one array");
    if (n_places_ > kMostPlaces)
      return fail(ErrorCode::kUnsupported,
                  "the schema's keyword \"prefixItems\" is not supported with so many items");
    // The last place stands for all that follow.
    for (size_t i = 0; i <= n_places_; ++i) {
      if (auto read = read_place(i); !read) return tl::unexpected(read.error());
    }
    const Term begin = terms_.cat(terms_.literal("["), compiler_.texts().space());
    if (kinds_.empty()) return terms_.cat(begin, plain());
    compiler_.keep(shared_from_this());
    return terms_.cat(begin, state({0, std::vector<uint32_t>(kinds_.size())}));
  }

 private:
  // How many items there are, and how many of each kind; no more is counted than counts.
  using State = std::pair<uint32_t, std::vector<uint32_t>>;

  void read(const Json& schema) {
    const auto count = [&](const char* key, uint32_t otherwise) {
      const Json* found = SchemaCompiler::find(schema, key);
      return found == nullptr ? otherwise : static_cast<uint32_t>(found->get<double>());
    };
    min_ = std::max(min_, count("minItems", 0));
    max_ = std::min(max_, count("maxItems", kUnbounded));
    if (const Json* prefix = SchemaCompiler::find(schema, "prefixItems"))
      n_places_ = std::max(n_places_, prefix->size());
    const Json* contains = SchemaCompiler::find(schema, "contains");
    const Kind kind{contains, count("minContains", 1), count("maxContains", kUnbounded)};
    if (contains != nullptr && (kind.min > 0 || kind.max != kUnbounded)) kinds_.push_back(kind);
  }

  Conjunction schemas_at(size_t place) const {
    Conjunction at;
    for (const Json* schema : schemas_) {
      const Json* prefix = SchemaCompiler::find(*schema, "prefixItems");
      const Json* items = SchemaCompiler::find(*schema, "items");
      if (items == nullptr && side_ == Side::kUnder)
        items = SchemaCompiler::find(*schema, "unevaluatedItems");
      if (prefix != nullptr && place < prefix->size()) {
        at.insert(&(*prefix)[place]);
      } else if (items != nullptr) {
        at.insert(items);
      }
    }
    return at;
  }

  // By the kinds that an item is of, as bits.
  Result<void> read_place(size_t place) {
    std::vector<Term> by_kinds;
    for (size_t is = 0; is < (size_t{1} << kinds_.size()); ++is) {
      Conjunction at = schemas_at(place);
      std::vector<Term> parts;
      for (size_t k = 0; k < kinds_.size(); ++k) {
        if ((is >> k & 1) != 0) {
          at.insert(kinds_[k].schema);
        } else if (kinds_[k].max != kUnbounded) {
          auto kind = compiler_.value({kinds_[k].schema}, other(side_));
          if (!kind) return tl::unexpected(kind.error());
          parts.push_back(terms_.no(*kind));
        }
      }
      auto item = compiler_.value(std::move(at), side_);
      if (!item) return tl::unexpected(item.error());
      parts.push_back(*item);
      by_kinds.push_back(terms_.both(std::move(parts)));
    }
    items_.push_back(std::move(by_kinds));
    return {};
  }

  Term comma() { return terms_.cat(terms_.literal(","), compiler_.texts().space()); }
  Term close() { return terms_.cat(compiler_.texts().space(), terms_.literal("]")); }

  // What follows the bracket and its space, without kinds.
  Term plain() {
    const auto n = static_cast<uint32_t>(n_places_);
    const Term rest = terms_.cat(comma(), items_.back()[0]);
    Term tail = kNothing;  // behind i items
    for (uint32_t i = std::max(n, 1U); i >= 1; --i) {
      const Term end = i >= min_ ? close() : kNothing;
      if (i == std::max(n, 1U)) {
        const uint32_t more = max_ == kUnbounded ? kUnbounded : (max_ > i ? max_ - i : 0);
        tail = i > max_ ? kNothing : terms_.cat(terms_.repeat(rest, min_ > i ? min_ - i : 0, more), close());
      } else {
        tail = i > max_ ? kNothing
                        : terms_.alt({end, i < max_ ? terms_.cat({comma(), items_[i][0], tail}) : kNothing});
      }
    }
    const Term some = max_ == 0 ? kNothing : terms_.cat(items_[0][0], tail);
    return terms_.alt({min_ == 0 ? terms_.literal("]") : kNothing, some});
  }

  Term state(const State& now) {
    Term& term = states_[now];
    if (term == kNothing) {
      const Term made =
          terms_.lazy_rule([this, now] { return write(now); }, [this, now] { return least(now); });
      states_[now] = made;
      return made;
    }
    return term;
  }

  uint32_t least(const State& now) const {
    uint32_t missing = min_ > now.first ? min_ - now.first : 0;
    for (size_t k = 0; k < kinds_.size(); ++k)
      missing = std::max(missing, kinds_[k].min > now.second[k] ? kinds_[k].min - now.second[k] : 0);
    if (max_ != kUnbounded && now.first + missing > max_) return kUnbounded;
    const bool is_first = now.first == 0 && missing > 0;  // no comma before it
    return 1 + 2 * missing - (is_first ? 1 : 0);
  }

  Term write(const State& now) {
    bool can_close = now.first >= min_;
    for (size_t k = 0; k < kinds_.size(); ++k) can_close = can_close && now.second[k] >= kinds_[k].min;
    std::vector<Term> ways;
    if (can_close) ways.push_back(now.first == 0 ? terms_.literal("]") : close());
    const size_t place = std::min<size_t>(now.first, n_places_);
    for (size_t is = 0; is < items_[place].size() && now.first < max_; ++is) {
      State next = now;
      // More than the last place, the least number and the greatest need not be told apart.
      const uint32_t counted =
          std::max({static_cast<uint32_t>(n_places_), min_, max_ == kUnbounded ? 0 : max_});
      next.first = std::min(next.first + 1, counted + 1);
      bool fits = true;
      for (size_t k = 0; k < kinds_.size(); ++k) {
        if ((is >> k & 1) == 0) continue;
        fits = fits && next.second[k] < kinds_[k].max;
        const uint32_t most = kinds_[k].max == kUnbounded ? kinds_[k].min : kinds_[k].max;
        next.second[k] = std::min(next.second[k] + 1, most);
      }
      if (fits && terms_.alive(items_[place][is]))
        ways.push_back(terms_.cat({now.first == 0 ? kEmptyText : comma(), items_[place][is], state(next)}));
    }
    return terms_.alt(std::move(ways));
  }

  SchemaCompiler& compiler_;
  Terms& terms_;
  const Conjunction schemas_;
  const Side side_;
  uint32_t min_ = 0;
  uint32_t max_ = kUnbounded;
  size_t n_places_ = 0;
  std::vector<Kind> kinds_;
  std::vector<std::vector<Term>> items_;  // [n_places + 1][2^kinds]
  std::map<State, Term> states_;
};

}  // namespace

Result<Term> array_term(SchemaCompiler& compiler, const Conjunction& schemas, Side side) {
  return std::make_shared<ArrayShape>(compiler, schemas, side)->make();
}

}  // namespace lazyfill
