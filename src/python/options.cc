#include "python/options.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <string>
#include <utility>

#include "lazyfill/policies.h"
#include "python/failure.h"

namespace lazyfill::python {
namespace {

namespace nb = nanobind;

template <class Name, class T>
using Names = std::initializer_list<std::pair<Name, T>>;

std::string printed(nb::handle value) {
  return nb::cast<std::string>(nb::repr(value));
}

Revival revival_of(nb::handle value) {
  if (value.is_none()) return {};
  if (nb::isinstance<nb::str>(value)) {
    const auto name = nb::cast<std::string>(value);
    if (name == "all") return Revival::all();
    if (name == "auto") return Revival::automatic();
  } else if (size_t n = 0; nb::try_cast(value, n)) {
    return Revival::up_to(n);
  }
  raise_invalid("revive is \"all\", \"auto\" or a number of tokens, not " + printed(value));
}

// Takes the fields from a dataclass.
class Reader {
 public:
  explicit Reader(nb::handle options) : options_(options) {}

  template <class T>
  void operator()(const char* name, T& field, const char* what) const {
    const nb::object value = options_.attr(name);
    if (nb::isinstance<nb::str>(value) &&
        std::is_same_v<T, std::vector<std::string>>)  // one of many, not letters
      return raise_invalid(std::string(name) + " must be " + what + ", not " + printed(value));
    try {
      if (nb::try_cast(value, field)) return;
    } catch (const nb::python_error&) {  // a text that UTF-8 cannot hold, a number too large
    }
    raise_invalid(std::string(name) + " must be " + what + ", not " + printed(value));
  }

  template <class Name, class T>
  void one_of(const char* name, T& field, Names<Name, T> names) const {
    const nb::object value = options_.attr(name);
    std::string all;
    for (const auto& [known, meaning] : names) {
      if (value.equal(nb::cast(known))) {
        field = meaning;
        return;
      }
      all += (all.empty() ? "" : ", ") + printed(nb::cast(known));
    }
    raise_invalid(std::string(name) + " is one of " + all + ", not " + printed(value));
  }

  void policy(const char* name, std::optional<Policy>& field) const {
    const nb::object value = options_.attr(name);
    if (value.is_none()) return;
    std::string policy;
    if (!nb::try_cast(value, policy)) raise_invalid("policy is the name of one, not " + printed(value));
    field = value_or_raise(policy_from_name(policy));
  }
  void biases(const char* name, std::vector<LogitBias>& field) const {
    const nb::object value = options_.attr(name);
    std::map<int32_t, float> biases;
    if (!nb::try_cast(value, biases))
      raise_invalid(std::string(name) + " must be a dict from token ids to numbers, not " + printed(value));
    for (const auto& [id, bias] : biases) field.push_back({id, bias});
  }
  void revival(const char* name, Revival& field) const { field = revival_of(options_.attr(name)); }
  void guide(const char* name, GuideOptions& field) const {
    const nb::object value = options_.attr(name);
    if (value.is_none()) return;
    if (!nb::hasattr(value, "kind"))
      raise_invalid(std::string(name) + " is a Guide or None, not " + printed(value));
    const Reader guide(value);
    guide.one_of("kind", field.kind,
                 Names<const char*, GuideKind>{{"regex", GuideKind::kRegex},
                                               {"json_schema", GuideKind::kJsonSchema},
                                               {"grammar", GuideKind::kGrammar},
                                               {"choices", GuideKind::kChoice}});
    guide("source", field.source, "a text");
    guide("choice_texts", field.choices, "a list of texts");
    guide("canonical", field.canonical, "True or False");
  }
  void stream(const char* name, std::optional<StreamOptions>& field) const {
    field = stream_options(options_.attr(name));
  }
  void lazy(const char* name, LazyOptions& field) const { field = lazy_options(options_.attr(name)); }

 private:
  nb::handle options_;
};

// Tells the fields and what they hold.
class Teller {
 public:
  explicit Teller(nb::dict told) : told_(std::move(told)) {}

  template <class T>
  void operator()(const char* name, T& field, const char* /*what*/) {
    told_[name] = nb::cast(field);
  }
  template <class Name, class T>
  void one_of(const char* name, T& field, Names<Name, T> names) {
    for (const auto& [known, meaning] : names)
      if (field == meaning) told_[name] = nb::cast(known);
  }
  void policy(const char* name, std::optional<Policy>&) { told_[name] = nb::none(); }
  void biases(const char* name, std::vector<LogitBias>&) { told_[name] = nb::dict(); }
  void revival(const char* name, Revival&) { told_[name] = nb::none(); }
  void guide(const char* name, GuideOptions&) { told_[name] = nb::none(); }
  void stream(const char* name, std::optional<StreamOptions>&) { told_[name] = nb::none(); }
  void lazy(const char* name, LazyOptions& field) { told_[name] = field.schedule; }

 private:
  nb::dict told_;
};

constexpr char kCount[] = "a whole number, 0 or more";
constexpr char kWhole[] = "a whole number";
constexpr char kNumber[] = "a number";
constexpr char kMaybe[] = "a number or None";
constexpr char kBool[] = "True or False";
constexpr char kText[] = "a text";
constexpr char kTexts[] = "a list of texts";
constexpr char kIds[] = "a list of token ids";

template <class Visitor>
void visit(EngineOptions& o, Visitor& field) {
  field("threads", o.n_threads, kCount);
  field("preset_folder", o.preset_folder, kText);
  field.one_of("kv", o.kv,
               Names<const char*, KvType>{{"as_computed", KvType::kAsComputed}, {"q8", KvType::kQ8}});
  field.one_of("activation_bits", o.activation_bits,
               Names<int, ActivationBits>{{16, ActivationBits::k16}, {8, ActivationBits::k8}});
  field("isa", o.isa, kText);
}

template <class Visitor>
void visit(LazyOptions& o, Visitor& field) {
  field("schedule", o.schedule, kText);
  field.policy("policy", o.policy);
  field("window_rows", o.window_rows, kCount);
  field.one_of("pooling", o.pooling,
               Names<const char*, Pooling>{
                   {"none", Pooling::kNone}, {"average", Pooling::kAverage}, {"max", Pooling::kMax}});
  field("pooling_width", o.pooling_width, kCount);
  field("score_layers", o.score_layers, kCount);
  field("vote_memory", o.vote_memory, kNumber);
  field("seed", o.seed, kCount);
  field("protect_first", o.protect_first, kCount);
  field("protect_last", o.protect_last, kCount);
  field("prune_generated", o.prune_generated, kBool);
  field.revival("revive", o.revival);
  field("revive_margin", o.revive_margin, kMaybe);
  field("attention_mass", o.attention_mass, kMaybe);
}

template <class Visitor>
void visit(StreamOptions& o, Visitor& field) {
  field("sinks", o.sinks, kCount);
  field("window", o.window, kCount);
}

template <class Visitor>
void visit(SamplingOptions& o, Visitor& field) {
  field("temperature", o.temperature, kNumber);
  field("top_k", o.top_k, kCount);
  field("top_p", o.top_p, kNumber);
  field("min_p", o.min_p, kNumber);
  field("seed", o.seed, kCount);
  field("repeat_penalty", o.repeat_penalty, kNumber);
  field("repeat_last_n", o.repeat_last_n, kWhole);
  field("presence_penalty", o.presence_penalty, kNumber);
  field("frequency_penalty", o.frequency_penalty, kNumber);
  field("dry_multiplier", o.dry_multiplier, kNumber);
  field("dry_base", o.dry_base, kNumber);
  field("dry_allowed_length", o.dry_allowed_length, kCount);
  field("dry_penalty_last_n", o.dry_penalty_last_n, kWhole);
  field("dry_sequence_breakers", o.dry_sequence_breakers, kTexts);
  field.biases("logit_bias", o.logit_bias);
}

template <class Visitor>
void visit(Request& o, Visitor& field) {
  visit(o.options.sampling, field);
  field("max_tokens", o.options.max_tokens, kCount);
  field("stop", o.options.stop, kTexts);
  field("show_special", o.options.show_special, kBool);
  field("with_logprobs", o.options.with_logprobs, kBool);
  field("top_logprobs", o.options.n_top_logprobs, kCount);
  field("stop_at_end_token", o.options.stop_at_end_token, kBool);
  field("forced_tokens", o.options.forced_tokens, kIds);
  field.one_of("draft", o.options.draft,
               Names<const char*, Draft>{{"none", Draft::kNone},
                                         {"recycle", Draft::kRecycle},
                                         {"lookup", Draft::kLookup},
                                         {"auto", Draft::kAuto}});
  field("draft_tokens", o.options.draft_tokens, kCount);
  field.guide("guide", o.options.guide);
  field.lazy("lazy", o.lazy);
  field.stream("endless", o.stream);
  field("priority", o.priority, kWhole);
  field("cache_prompt", o.cache_prompt, kBool);
  field("cache_salt", o.cache_salt, kText);
  field("n_dense_tokens", o.n_dense_tokens, kCount);
}

template <class Visitor>
void visit(SchedulerOptions& o, Visitor& field) {
  field("threads", o.n_threads, kCount);
  field("context_tokens", o.context_tokens, kCount);
  field("max_sequences", o.max_sequences, kCount);
  field("max_queue", o.max_queue, kCount);
  field("turn_ms", o.turn_ms, kNumber);
  field("kv_memory_bytes", o.kv_memory_bytes, kCount);
  field("state_folder", o.state_folder, kText);
  field("state_bytes", o.state_bytes, kCount);
  field("pack_tokens", o.pack_tokens, kCount);
}

template <class T>
T read(nb::handle options) {
  T read_options;
  Reader reader(options);
  visit(read_options, reader);
  return read_options;
}

template <class T>
void tell(nb::dict& all, const char* name) {
  T defaults;
  nb::dict told;
  Teller teller(told);
  visit(defaults, teller);
  all[name] = told;
}

}  // namespace

EngineOptions engine_options(nb::handle options) {
  return read<EngineOptions>(options);
}

LazyOptions lazy_options(nb::handle options) {
  LazyOptions lazy;
  if (nb::isinstance<nb::str>(options)) {
    lazy.schedule = nb::cast<std::string>(options);
    return lazy;
  }
  if (!nb::hasattr(options, "schedule"))
    raise_invalid("lazy is a schedule, such as \"auto\", \"off\" or \"15:0.3\", or LazyOptions, not " +
                  printed(options));
  return read<LazyOptions>(options);
}

std::optional<StreamOptions> stream_options(nb::handle options) {
  if (options.is_none()) return std::nullopt;
  if (!nb::hasattr(options, "sinks"))
    raise_invalid("endless is StreamOptions or None, not " + printed(options));
  return read<StreamOptions>(options);
}

SamplingOptions sampling_options(nb::handle options) {
  return read<SamplingOptions>(options);
}

SchedulerOptions scheduler_options(nb::handle options) {
  return read<SchedulerOptions>(options);
}

Request request_of(nb::handle options) {
  return read<Request>(options);
}

nb::typed<nb::dict, nb::str, nb::any> default_options() {
  nb::dict all;
  tell<EngineOptions>(all, "EngineOptions");
  tell<LazyOptions>(all, "LazyOptions");
  tell<StreamOptions>(all, "StreamOptions");
  tell<SamplingOptions>(all, "SamplingOptions");
  tell<Request>(all, "GenerateOptions");
  tell<SchedulerOptions>(all, "SchedulerOptions");
  return all;
}

}  // namespace lazyfill::python
