// Objects: members in any order. Which of the named ones have been there is the state of a lazy rule, so that
// only orders that an answer takes are ever made.
#include <algorithm>

#include "decoding/schema_compiler.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostNames = 1000;
constexpr size_t kMostPatterns = 5;
constexpr uint32_t kLeastMember = 5;  // bytes of "":0 and a comma

class ObjectShape : public std::enable_shared_from_this<ObjectShape> {
 public:
  ObjectShape(SchemaCompiler& compiler, const Conjunction& schemas, Side side)
      : compiler_(compiler), terms_(compiler.terms()), schemas_(schemas), side_(side) {}

  Result<Term> make() {
    for (const Json* schema : schemas_) read(*schema);
    if (names_.size() > kMostNames)
      return fail(ErrorCode::kUnsupported,
                  "the schema's keyword \"properties\" is not supported with more than " +
                      std::to_string(kMostNames) + " names for one object");
    if (min_ > max_) return kNothing;
    if (auto read = read_patterns(); !read) return tl::unexpected(read.error());
    if (auto read = read_key_limits(); !read) return tl::unexpected(read.error());
    for (Name& name : names_) {
      if (auto read = read_name(name); !read) return tl::unexpected(read.error());
    }
    if (auto read = read_classes(); !read) return tl::unexpected(read.error());
    compiler_.keep(shared_from_this());
    const Term begin = terms_.cat(terms_.literal("{"), compiler_.texts().space());
    return terms_.cat(begin, rule({std::string(names_.size(), '\0'), 0, true}));
  }

 private:
  struct Name {
    std::string key;
    Term text = kNothing;  // with its quotes
    Term value = kNothing;
    bool required = false;
    std::vector<size_t> needs;  // others that must be there with it
  };
  struct Pattern {
    std::string expression;
    Term body = kNothing;
  };
  struct Class {  // of keys without a name
    Term text = kNothing;
    Term value = kNothing;
  };
  struct State {
    std::string seen;    // [names], 1: it was there
    uint32_t n_members;  // no more are counted than count
    bool is_first;
    bool operator<(const State& o) const {
      return std::tie(seen, n_members, is_first) < std::tie(o.seen, o.n_members, o.is_first);
    }
  };

  size_t index_of(const std::string& key) {
    const auto [found, is_new] = index_.try_emplace(key, names_.size());
    if (is_new) names_.push_back({key});
    return found->second;
  }

  void read(const Json& schema) {
    const auto find = [&](const char* key) { return SchemaCompiler::find(schema, key); };
    if (const Json* least = find("minProperties"))
      min_ = std::max(min_, static_cast<uint32_t>(least->get<double>()));
    if (const Json* most = find("maxProperties"))
      max_ = std::min(max_, static_cast<uint32_t>(most->get<double>()));
    if (const Json* properties = find("properties")) {
      for (const auto& [key, _] : properties->items()) index_of(key);
    }
    if (const Json* required = find("required")) {
      for (const Json& key : *required) names_[index_of(key.get<std::string>())].required = true;
    }
    if (const Json* dependent = find("dependentRequired")) {
      for (const auto& [key, others] : dependent->items()) {
        const size_t name = index_of(key);
        for (const Json& other : others) {
          if (!other.is_string()) continue;
          const size_t needed = index_of(other.get<std::string>());
          names_[name].needs.push_back(needed);
        }
      }
    }
    if (const Json* patterns = find("patternProperties")) {
      for (const auto& item : patterns->items()) {  // clang 14 lets no lambda capture a structured binding
        const bool known = std::any_of(patterns_.begin(), patterns_.end(),
                                       [&](const Pattern& one) { return one.expression == item.key(); });
        if (!known) patterns_.push_back({item.key()});
      }
    }
  }

  Result<void> read_patterns() {
    if (patterns_.size() > kMostPatterns)
      return fail(ErrorCode::kUnsupported,
                  "the schema's keyword \"patternProperties\" is not supported with more than " +
                      std::to_string(kMostPatterns) + " patterns for one object");
    for (Pattern& pattern : patterns_) {
      auto body = compiler_.pattern(pattern.expression);
      if (!body)
        return fail(body.error().code,
                    "the schema's keyword \"patternProperties\" cannot be used: " + body.error().message);
      pattern.body = *body;
    }
    return {};
  }

  Result<void> read_key_limits() {
    for (const Json* schema : schemas_) {
      const Json* limit = SchemaCompiler::find(*schema, "propertyNames");
      if (limit == nullptr) continue;
      auto term = compiler_.value({limit}, side_);
      if (!term) return tl::unexpected(term.error());
      key_limits_.push_back(*term);
    }
    return {};
  }

  // The schemas of a value by what its key is: a name, or which patterns it matches.
  template <class Matches>
  Conjunction schemas_for(const std::string* key, Matches matches) const {
    Conjunction all;
    for (const Json* schema : schemas_) {
      bool evaluated = false;
      const Json* properties = SchemaCompiler::find(*schema, "properties");
      if (key != nullptr && properties != nullptr && properties->contains(*key)) {
        all.insert(&properties->at(*key));
        evaluated = true;
      }
      if (const Json* patterns = SchemaCompiler::find(*schema, "patternProperties")) {
        for (size_t i = 0; i < patterns_.size(); ++i) {
          if (!patterns->contains(patterns_[i].expression) || !matches(i)) continue;
          all.insert(&patterns->at(patterns_[i].expression));
          evaluated = true;
        }
      }
      const Json* additional = SchemaCompiler::find(*schema, "additionalProperties");
      if (additional == nullptr && side_ == Side::kUnder)
        additional = SchemaCompiler::find(*schema, "unevaluatedProperties");
      if (!evaluated && additional != nullptr) all.insert(additional);
    }
    return all;
  }

  Result<void> read_name(Name& name) {
    const Term body = compiler_.texts().body(name.key);
    name.text = compiler_.texts().quoted(body);
    // Any of its spellings tells which patterns it matches.
    const auto spellings = terms_.matches(body, 1, 4 * name.key.size() + 100);
    const std::string spelled = spellings.empty() ? name.key : spellings[0];
    auto value = compiler_.value(
        schemas_for(&name.key,
                    [&](size_t i) { return terms_.nullable(terms_.after(patterns_[i].body, spelled)); }),
        side_);
    if (!value) return tl::unexpected(value.error());
    name.value = *value;
    return {};
  }

  Result<void> read_classes() {
    const Term any = compiler_.texts().characters();
    std::vector<Term> named;
    for (const Name& name : names_) named.push_back(compiler_.texts().body(name.key));
    for (size_t is = 0; is < (size_t{1} << patterns_.size()); ++is) {
      auto value =
          compiler_.value(schemas_for(nullptr, [is](size_t i) { return (is >> i & 1) != 0; }), side_);
      if (!value) return tl::unexpected(value.error());
      if (*value == kNothing) continue;
      std::vector<Term> parts;
      for (size_t i = 0; i < patterns_.size(); ++i)
        parts.push_back((is >> i & 1) != 0 ? patterns_[i].body : terms_.no(patterns_[i].body));
      if (!named.empty()) parts.push_back(terms_.no(terms_.alt(named)));
      if (!parts.empty()) parts.push_back(any);
      const Term body = parts.empty() ? any : terms_.both(std::move(parts));
      std::vector<Term> limited = key_limits_;
      limited.push_back(compiler_.texts().quoted(body));
      classes_.push_back({terms_.both(std::move(limited)), *value});
    }
    return {};
  }

  Term rule(const State& now) {
    if (const auto found = states_.find(now); found != states_.end()) return found->second;
    const Term made =
        terms_.lazy_rule([this, now] { return write(now); }, [this, now] { return least(now); });
    states_.emplace(now, made);
    return made;
  }

  // The names that are still to come, also because of others.
  std::vector<bool> missing(const State& now) const {
    std::vector<bool> wanted(names_.size());
    std::vector<size_t> open;
    const auto want = [&](size_t i) {
      if (!wanted[i]) open.push_back(i);
      wanted[i] = true;
    };
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i].required || now.seen[i] != 0) want(i);
    }
    while (!open.empty()) {
      const size_t i = open.back();
      open.pop_back();
      for (const size_t other : names_[i].needs) want(other);
    }
    for (size_t i = 0; i < names_.size(); ++i) wanted[i] = wanted[i] && now.seen[i] == 0;
    return wanted;
  }

  uint32_t least(const State& now) {
    const std::vector<bool> wanted = missing(now);
    uint64_t n_bytes = 1;
    uint64_t n_members = now.n_members;
    size_t n_free = classes_.empty() ? 0 : size_t{1} << 20;
    for (size_t i = 0; i < names_.size(); ++i) {
      const uint32_t value = now.seen[i] != 0 ? 0 : terms_.bound(names_[i].value);
      if (wanted[i]) {
        if (value == kUnbounded) return kUnbounded;
        n_bytes += names_[i].key.size() + value + 4;
        ++n_members;
      } else if (now.seen[i] == 0 && value != kUnbounded) {
        ++n_free;
      }
    }
    if (n_members > max_) return kUnbounded;
    if (n_members < min_) {
      if (n_free < min_ - n_members) return kUnbounded;
      n_bytes += (min_ - n_members) * kLeastMember;
    }
    if (now.is_first && n_bytes > 1) --n_bytes;  // no comma before the first
    return static_cast<uint32_t>(std::min<uint64_t>(n_bytes, kUnbounded - 2));
  }

  bool key_fits(const Name& name) {
    const auto spelled = terms_.matches(name.text, 1, 4 * name.key.size() + 100);
    return std::all_of(key_limits_.begin(), key_limits_.end(), [&](Term limit) {
      return !spelled.empty() && terms_.nullable(terms_.after(limit, spelled[0]));
    });
  }

  Term write(const State& now) {
    const std::vector<bool> wanted = missing(now);
    const Term space = compiler_.texts().space();
    const bool complete = std::none_of(wanted.begin(), wanted.end(), [](bool one) { return one; });
    std::vector<Term> ways;
    if (complete && now.n_members >= min_)
      ways.push_back(now.is_first ? terms_.literal("}") : terms_.cat(space, terms_.literal("}")));
    const Term between = now.is_first ? kEmptyText : terms_.cat(terms_.literal(","), space);
    const Term colon = terms_.cat(terms_.literal(":"), space);
    State next = now;
    next.is_first = false;
    // More than the greatest number, or without one the least, need not be told apart.
    next.n_members = std::min(now.n_members + 1, max_ == kUnbounded ? min_ : max_);
    if (now.n_members >= max_) return terms_.alt(std::move(ways));
    for (size_t i = 0; i < names_.size(); ++i) {
      if (now.seen[i] != 0 || !terms_.alive(names_[i].value) || !key_fits(names_[i])) continue;
      next.seen[i] = 1;
      ways.push_back(terms_.cat({between, names_[i].text, colon, names_[i].value, rule(next)}));
      next.seen[i] = 0;
    }
    for (const Class& one : classes_) {
      if (terms_.alive(one.text) && terms_.alive(one.value))
        ways.push_back(terms_.cat({between, one.text, colon, one.value, rule(next)}));
    }
    return terms_.alt(std::move(ways));
  }

  SchemaCompiler& compiler_;
  Terms& terms_;
  const Conjunction schemas_;
  const Side side_;
  uint32_t min_ = 0;
  uint32_t max_ = kUnbounded;
  std::vector<Name> names_;
  std::map<std::string, size_t> index_;
  std::vector<Pattern> patterns_;
  std::vector<Term> key_limits_;  // texts of keys, with quotes, that "propertyNames" allows
  std::vector<Class> classes_;
  std::map<State, Term> states_;
};

}  // namespace

Result<Term> object_term(SchemaCompiler& compiler, const Conjunction& schemas, Side side) {
  return std::make_shared<ObjectShape>(compiler, schemas, side)->make();
}

}  // namespace lazyfill
