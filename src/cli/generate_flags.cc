#include "cli/options.h"
#include "cli/text.h"

namespace lazyfill::cli {

void GenerateFlags::add_to(Flags& flags, size_t default_tokens, bool may_score) {
  options.max_tokens = default_tokens;
  SamplingOptions& sampling = options.sampling;
  flags.group("Answer");
  flags.add_count("-n,--max-tokens", options.max_tokens, may_score ? 0 : 1, kMostTokens,
                  std::string("Tokens to generate at most; ") +
                      (may_score ? "0: only say how likely the prompt is; " : "") +
                      "-1: as many as fit; default " + std::to_string(default_tokens),
                  kMostTokens);
  flags.add_real("--temp", sampling.temperature, 0, 100,
                 "Temperature; 0: greedy; default " + short_number(sampling.temperature));
  flags.add_count("--top-k", sampling.top_k, 0, kMostTokens,
                  "Sample from the K likeliest tokens; 0: all; default 40", 0);
  flags.add_real("--top-p", sampling.top_p, 0, 1,
                 "Sample from the likeliest tokens with this share; default 0.95");
  flags.add_real("--min-p", sampling.min_p, 0, 1,
                 "Leave out tokens less likely than this times the likeliest; default 0.05");
  flags.add_seed("-s,--seed", sampling.seed, "Seed of the sampling; 0: from the clock; default 0");
  add_penalties_to(flags);
  flags.add_texts(
      "--stop", options.stop, "TEXT",
      "End before this text, or before the control token of this name; may be given several times");
  flags.add_draft(
      "--draft", options.draft,
      "Guess the next tokens and compute several in a step, for the same answer sooner: what the model "
      "found likely before (recycle), what the text had before (lookup), or whichever promises more "
      "(auto); default none");
  flags.add_count("--draft-tokens", options.draft_tokens, 0, 80,
                  "Tokens that a step guesses with --draft; 0: as many as pay; default 0");
  flags.add_switch("--show-special", options.show_special,
                   "Show the control tokens of the answer by their names, but for the one that ends it");
}

void GenerateFlags::add_penalties_to(Flags& flags) {
  SamplingOptions& sampling = options.sampling;
  flags.add_real("--repeat-penalty", sampling.repeat_penalty, 0.01F, 100,
                 "Makes tokens of the prompt and the answer less likely: their logits are divided by it, or "
                 "multiplied if negative; 1: off; default 1");
  flags.add_last_n("--repeat-last-n", sampling.repeat_last_n, kMostTokens,
                   "Of the last N tokens; -1: of all; default 64");
  flags.add_real("--presence-penalty", sampling.presence_penalty, -100, 100,
                 "Taken from the logit of every token that the answer has; default 0");
  flags.add_real("--frequency-penalty", sampling.frequency_penalty, -100, 100,
                 "Taken from it as often as the answer has the token; default 0");
  flags.add_real("--dry-multiplier", sampling.dry_multiplier, 0, 100,
                 "DRY: what a token loses that makes a repeated passage longer; 0: off; default 0");
  flags.add_real(
      "--dry-base", sampling.dry_base, 1, 100,
      "And so many times that for each token that the passage has above the allowed; default 1.75");
  flags.add_count("--dry-allowed-length", sampling.dry_allowed_length, 1, kMostTokens,
                  "Length from which on a repeated passage counts; default 2");
  flags.add_last_n("--dry-penalty-last-n", sampling.dry_penalty_last_n, kMostTokens,
                   "Repeats are looked for in the last N tokens; -1: in all; default -1");
  flags.add_breakers(
      "--dry-sequence-breaker", sampling.dry_sequence_breakers,
      "No repeated passage reaches over this text, in which \\n is a newline, in place of newline, "
      "colon, quotation mark and asterisk; none: over all; may be given several times");
  flags.add_biases(
      "--logit-bias", sampling.logit_bias,
      "Added to the logit of the token ID, such as 15043+1; -100 or -inf: never choose it; may be "
      "given several times");
}

}  // namespace lazyfill::cli
