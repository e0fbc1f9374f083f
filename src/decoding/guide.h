// A compiled guide: the term of all answers that it allows, with what was found of it. Shared by all answers
// that are guided by the same options; any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "decoding/constraint.h"
#include "decoding/key_tracker.h"
#include "decoding/terms.h"
#include "decoding/token_mask.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill {

// What guides need to know of a model's tokens; one an engine. The tokeniser must outlive it.
class GuideVocabulary {
 public:
  explicit GuideVocabulary(const Tokenizer& tokenizer);
  const Tokenizer& tokenizer() const { return tokenizer_; }
  // What terms know a token by: its text, or of a control token its name in a frame of bytes that no text
  // has, so that it stands only where a guide names it. Empty: it cannot stand in an answer.
  std::string text(int32_t token) const { return text_of(tokenizer_, token); }
  static std::string text_of(const Tokenizer& tokenizer, int32_t token);
  // Of the token that is called so, or [id]; empty: there is none.
  std::string named_text(std::string_view name) const;
  // The tokens that spell a text in which such frames may stand.
  std::vector<int32_t> encode(std::string_view text) const;
  // Made when it is first asked for, by the one thread that asks first.
  const TokenTrie& trie() const;
  // Which tokens go on in a string of JSON: the largest part of all masks, and the same in all schemas. Made
  // likewise.
  std::shared_ptr<const TokenMasks::Part> json_string() const;
  // Every byte is the text of a token: whatever bytes are allowed, tokens can spell them.
  bool has_all_bytes() const { return has_all_bytes_; }

 private:
  const Tokenizer& tokenizer_;
  bool has_all_bytes_ = false;
  mutable std::once_flag made_, made_string_;
  mutable std::shared_ptr<const TokenMasks::Part> json_string_;
  mutable std::unique_ptr<const TokenTrie> trie_;
};

class Guide {
 public:
  // The error is one sentence: where the pattern is wrong, or what is not supported, by its name.
  static Result<std::shared_ptr<Guide>> compile(const GuideOptions& options,
                                                std::shared_ptr<const GuideVocabulary> vocabulary);
  const GuideOptions& options() const { return options_; }
  const GuideVocabulary& vocabulary() const { return *vocabulary_; }

  // --- under lock() ---
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  Terms& terms() { return *terms_; }
  Term start() const { return start_; }
  const TokenMask& mask(Term term);
  // Some short texts after which a term is matched; the same ones in every call.
  const std::vector<std::string>& endings(Term term, bool many);
  // What was found is forgotten where it has grown too large. Terms of another generation mean nothing.
  void tidy();
  uint64_t generation() const { return generation_; }
  // Where an answer's objects must not have a key twice, nor its arrays equal items; nothing: it has none.
  const std::optional<KeyTracker>& keys() const { return keys_; }

  size_t bytes_used();  // locks

 private:
  Guide(const GuideOptions& options, std::shared_ptr<const GuideVocabulary> vocabulary)
      : options_(options), vocabulary_(std::move(vocabulary)) {}
  Result<void> compile();
  Result<Term> parse();
  Result<Term> parse_schema();
  Result<Term> parse_grammar();
  size_t bytes() const;

  const GuideOptions options_;
  const std::shared_ptr<const GuideVocabulary> vocabulary_;
  std::mutex mutex_;  // of what follows
  std::unique_ptr<Terms> terms_;
  std::vector<std::shared_ptr<void>> owned_;  // what lazy rules of the terms look at
  std::optional<KeyTracker> keys_;
  std::unique_ptr<TokenMasks> masks_;
  Term start_ = kNothing;
  size_t n_first_terms_ = 0, n_first_bytes_ = 0;  // after compiling
  struct Endings {
    std::vector<std::string> few, many;
  };
  std::unordered_map<Term, Endings> endings_;
  size_t ending_bytes_ = 0;
  uint64_t generation_ = 0;
};

// An answer under a guide.
std::unique_ptr<Constraint> start_constraint(std::shared_ptr<Guide> guide);

// Compiled guides by their options, the latest ones, within a bound of bytes. Any thread.
class GuideCache {
 public:
  explicit GuideCache(size_t max_bytes = size_t{64} << 20) : max_bytes_(max_bytes) {}
  Result<std::shared_ptr<Guide>> get(const GuideOptions& options,
                                     const std::shared_ptr<const GuideVocabulary>& vocabulary);
  size_t size() const;
  size_t bytes_used() const;

 private:
  void trim();

  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Guide>> guides_;  // the latest last
};

}  // namespace lazyfill
