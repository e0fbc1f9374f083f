// Plain data that crosses the public interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lazyfill {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// A conversation with all that chat templates know of. The texts are JSON, in the form of OpenAI's chat
// interface and of transformers' apply_chat_template(); a text that is empty is not given.
struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::string
      messages_json;  // an array in place of `messages`: with tool_calls, tool_call_id, parts of content...
  std::string tools_json;      // an array of the functions that the model may call
  std::string variables_json;  // an object of further variables of the template: {"enable_thinking": false}
  bool add_generation_prompt = true;
};

// A part of a text: the bytes from begin to end.
struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
};

// A conversation as the model's chat template writes it. The template's own words are told apart from what
// the conversation says, because only the template may write control tokens: a message that spells one out,
// such as "<|im_end|>", stays text.
struct RenderedChat {
  std::string text;
  std::vector<TextSpan> template_spans;  // ascending and apart; the rest comes from the conversation
};

// How finely the inputs of products with quantised weights are rounded (fast kernels; see
// docs/performance.md).
enum class ActivationBits {
  k16,  // 16 bits wherever 8 could change which tokens are kept
  k8,   // 16 bits for queries, keys and values alone: a faster prefill, further from the exact model
};

// How a model was understood; `inspect` and the first lines of `run` show it.
struct ModelInfo {
  std::string architecture;  // "llama", "gemma3"
  std::string name;
  uint64_t n_parameters = 0;
  uint64_t file_bytes = 0;
  size_t n_layers = 0;
  size_t d_model = 0;
  size_t n_heads = 0;
  size_t n_kv_heads = 0;
  size_t head_dim = 0;
  size_t d_ff = 0;
  size_t n_vocab = 0;   // rows of the embedding: logits for each, but tokens only for the first n_tokens
  size_t n_tokens = 0;  // up to n_vocab; ids from here on are padding, never chosen and never taken
  size_t context_length = 0;
  std::vector<size_t> prunable_layers;  // global layers but the last: after these, tokens may be dropped
  std::string tokenizer;
  std::string isa;  // instruction set of the kernels in use
  ActivationBits activation_bits = ActivationBits::k16;
  std::string fingerprint;            // of the weights; presets are kept under it
  std::vector<size_t> layer_windows;  // [n_layers] sliding window of each layer, 0: it sees all
  bool has_chat_template = false;
  std::vector<std::string> warnings;  // sentences about what of the file is not used, and why
};

// Which tokens a step keeps: policies.h has what is known of each, docs/lazy.md the sources.
enum class Policy {
  kLazy,    // attention of the last row, mean over the query heads; chosen anew in every step
  kRandom,  // a seeded random choice
  kRecent,  // the newest tokens
  kStatic,  // kLazy's choice at prefill, kept for good: nothing is revived
  kWindow,  // attention of the last `window_rows` rows, pooled over neighbours
  kFocus,   // kWindow over several layers, and the chat template's own words do not vote
  kValues,  // kLazy's attention, head by head, times the norm of the value that it would take
  // Rivals to compare with; none of them brings a dropped token back.
  kFastKv,     // kWindow's choice at prefill, kept for good
  kSnapKv,     // dense prefill; then each layer from the stage's on keeps the columns with the highest window
               // scores
  kGemFilter,  // the last row's pooled attention chooses; the model starts again with those tokens alone
  kEnd,        // no policy: their number
};
enum class Pooling { kNone, kAverage, kMax };

// How many of the dropped tokens that a stage wants back in a decode step are computed: those with the
// highest scores; the others stay in the Aux Cache.
struct Revival {
  enum class Mode {
    kDefault,  // as the preset says, else as the policy's row says
    kAll,      // every one, as in the paper
    kAuto,     // 8, and in all no more than what a step saves by the columns that it does not read pays for
    kAtMost,   // `at_most` of them
  };
  Mode mode = Mode::kDefault;
  size_t at_most = 0;

  static constexpr Revival all() { return {Mode::kAll, 0}; }
  static constexpr Revival automatic() { return {Mode::kAuto, 0}; }
  static constexpr Revival up_to(size_t n) { return {Mode::kAtMost, n}; }
  friend constexpr bool operator==(const Revival&, const Revival&) = default;
};

struct LazyOptions {
  // "off", "LAYER:KEEP[,LAYER:KEEP...]", or a preset of the model: "auto", the careful one, or "fast", which
  // loses more. LAYER counted from 0 or "50%" of the depth; KEEP a fraction of the tokens that entered the
  // layer, "@512" tokens, or "p0.9": those that hold 0.9 of the attention.
  std::string schedule = "auto";
  // Not given: the preset's with the schedules "auto" and "fast", else kLazy.
  std::optional<Policy> policy;
  // Each for the policies whose row in the table says so.
  size_t window_rows = 8;  // Voters::kWindow and kWords
  Pooling pooling = Pooling::kAverage;
  size_t pooling_width = 7;  // odd
  size_t score_layers = 3;   // Voters::kWords: the pruning layer and those before it that vote
  // With a memory, decode steps: the share of the votes of the steps before that counts with a step's own,
  // and so on back to the prompt's; 0: none, below 1.
  float vote_memory = 0.9F;
  uint64_t seed = 0;            // kRandom
  size_t protect_first = 0;     // attention sinks that are never dropped
  size_t protect_last = 1;      // newest tokens that are never dropped; at least the last
  bool prune_generated = true;  // whether generated tokens may be dropped as prompt tokens may
  Revival revival;              // decode steps
  // Decode steps of policies that look at attention in every step: and only those whose score is so many
  // times that of the weakest token that the stage has room for; 0: all. Not given: 0 with Revival::all(),
  // else what the preset says, else what the policy's row says.
  std::optional<float> revive_margin;
  // Prompt rows of global layers look only at the columns that hold this share of their attention, estimated
  // from a sample of rows; 1: at all. Independent of the schedule. Not given: 1, or the preset's.
  std::optional<float> attention_mass;
};

// A text without an end in memory that does not grow (StreamingLLM, arXiv 2309.17453; docs/streaming.md):
// every token sees the first tokens of the text, the attention sinks, and the newest ones. Positions are
// those within what is held, so sinks and window together may be as long as the model's context.
struct StreamOptions {
  size_t sinks = 4;
  size_t window = 2000;  // newest tokens that are seen, the one that looks among them; at least 1
};

// How keys and values are kept.
enum class KvType {
  kAsComputed,  // fp16, or fp32 with the reference kernels
  kQ8,          // signed bytes with a scale for every 32: 17 bytes where fp16 takes 32
};

struct ScheduleStage {
  size_t layer = 0;
  double keep = 1;         // fraction of the tokens that entered the layer
  size_t keep_tokens = 0;  // > 0: a number of tokens instead
  double keep_mass = 0;    // > 0: as few as hold this share of the scores of all but the first token
};

// What a call was told to do, after "auto" or "fast" was looked up.
struct LazyChoice {
  // "given", "default", "preset (PLACE)" or "fast preset (PLACE)", PLACE one of "beside the model", "user"
  // and "shipped"; where "fast" found no preset of its own, that and what was taken instead.
  std::string source;
  std::string policy;         // as --policy calls it
  size_t min_tokens = 0;      // with "auto" and "fast": shorter prompts are prefilled dense
  bool short_prompt = false;  // and this one was
  float attention_mass = 1;   // as it was used
};

// What the prefill of one call did.
struct LazyReport {
  LazyChoice choice;
  std::vector<ScheduleStage> schedule;
  std::vector<std::vector<int32_t>> kept;  // per stage, ascending positions kept by the prefill step
  double attention_kept = 1;  // with attention_mass below 1: share of the pairs of row and column looked at
  std::vector<double> computed_fraction;  // per layer, share of the prompt tokens ever computed there
  size_t revived_rows = 0;                // rows that came back from the Aux Cache, all steps together
  // [n_steps][n_stages] prompt tokens that each step was the first to compute above each stage's layer; the
  // prefill is the first step. Empty where nothing is brought back but for kStatic and kFastKv.
  std::vector<std::vector<size_t>> computed_by_step;
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// Added to a token's logit; -100 and below, -inf too: the token is never chosen.
struct LogitBias {
  int32_t id = 0;
  float bias = 0;
};

// Penalties and biases are off by default. They change the logits that a token is chosen from, with
// temperature 0 too: first logit_bias, then the penalties in the order that they have here.
struct SamplingOptions {
  float temperature = 0.8F;  // 0: greedy
  size_t top_k = 40;         // 0: all
  float top_p = 0.95F;
  float min_p = 0.05F;
  uint64_t seed = 0;  // 0: from the clock

  // Logits of the last repeat_last_n tokens, those of the prompt too, are divided by it, or multiplied where
  // they are negative; 1: off.
  float repeat_penalty = 1;
  int32_t repeat_last_n = 64;  // -1: all tokens
  // Taken from the logits of the answer's tokens so far: once, and as often as the token is there.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  // DRY: a token that would make the end of the text longer by which it repeats an earlier place, n tokens so
  // far, loses multiplier * base^(n - allowed_length), where n is at least allowed_length.
  float dry_multiplier = 0;  // 0: off
  float dry_base = 1.75F;
  size_t dry_allowed_length = 2;
  int32_t dry_penalty_last_n = -1;  // looked for in so many of the last tokens; -1: in all
  // No repetition reaches over one of these texts, and a token that holds one loses nothing.
  std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};
  std::vector<LogitBias> logit_bias = {};  // those of the same token add up
};

// Who proposes tokens for the next places of an answer, which a step computes beside the newest token: those
// that the model would have chosen itself are taken at once (docs/drafts.md).
enum class Draft {
  kNone,
  kRecycle,  // Token Recycling: what the model found likely behind the same token before
  kLookup,   // what followed in prompt and answer where the last tokens stood before
  kAuto,     // whichever of the two promises more
};

// The tokens by which a model fills in the middle of a text (docs/fim.md); -1: it has none.
struct FimTokens {
  int32_t prefix = -1, suffix = -1, middle = -1;     // each stands before its part
  int32_t padding = -1, repository = -1, file = -1;  // the latter two before a name
  int32_t line_start = -1, line_end = -1;            // FIM-SE: before the cut line's two ends
  bool known() const { return prefix >= 0 && suffix >= 0 && middle >= 0; }
  bool operator==(const FimTokens&) const = default;
};

// What an answer must look like (docs/guided.md).
enum class GuideKind {
  kNone,
  kRegex,       // all of it matches a regular expression
  kJsonSchema,  // it is JSON that fits a schema
  kGrammar,     // a grammar in GBNF, from its rule `root`
  kChoice,      // one of some texts
  kLines,       // lines that begin and end with given texts; what stands between them is the answer's text
};

struct GuideOptions {
  GuideKind kind = GuideKind::kNone;
  std::string source;  // the expression, the schema or the grammar
  // kChoice. kLines: two, what every output begins with, and where it is over; the latter may be empty.
  std::vector<std::string> choices;
  // Only tokens that encoding the answer's text alone gives back: what models are trained on.
  bool canonical = true;
};

struct GenerateOptions {
  size_t max_tokens = 128;
  SamplingOptions sampling;
  GuideOptions guide;
  // Generation ends before the first of these texts; a control token counts by its name.
  std::vector<std::string> stop;
  bool show_special =
      false;  // names of control tokens are part of the answer's text, but for the end token's
  // Log-probabilities are the model's: before temperature and penalties, normalised over all rows of logits.
  bool with_logprobs = false;  // of the tokens that were chosen
  size_t n_top_logprobs = 0;   // and of up to this many of the likeliest at each place; above 0: of both
  bool stop_at_end_token = true;
  // Instead of sampling, take these tokens one after another (evaluation of fixed continuations).
  std::vector<int32_t> forced_tokens;
  Draft draft = Draft::kNone;
  size_t draft_tokens = 0;  // that a step proposes, whatever they cost; 0: as many as pay
};

struct Timings {
  double queue_ms = 0;    // from the call until there was room for it: a scheduler's requests wait
  double ttft_ms = 0;     // from the call to the first token
  double prefill_ms = 0;  // the prefill step alone
  double decode_ms = 0;   // the tokens after the first
  double total_ms = 0;
};

struct MemoryUse {
  uint64_t weights_bytes = 0;
  uint64_t kv_bytes = 0;
  uint64_t aux_bytes = 0;
};

// What a scheduler's request found of what others had computed.
struct PrefixReport {
  size_t n_cached_tokens = 0;    // of the prompt, taken from there
  size_t n_agreeing_tokens = 0;  // the longest sequence that is kept begins with as many of the prompt's
};

// What drafts did.
struct DraftReport {
  size_t n_steps = 0;     // decode steps of the answer, those without drafts too
  size_t n_proposed = 0;  // tokens
  size_t n_accepted = 0;  // of those
};

enum class FinishReason { kStop, kLength, kCancelled };

struct Generation {
  std::vector<int32_t> prompt_token_ids;
  std::vector<int32_t> token_ids;  // without the end token
  std::string text;                // whole UTF-8 characters, cut before a stop text
  std::string plain_text;          // the same without names of control tokens, as a next turn repeats it
  FinishReason finish_reason = FinishReason::kLength;
  std::string stop_text;  // the one of GenerateOptions::stop that ended it; empty: none did
  // Of each token that was chosen, an end token at the end too; top_logprobs most likely first.
  std::vector<float> token_logprobs;
  std::vector<std::vector<TokenLogprob>> top_logprobs;
  Timings timings;
  bool lazy_used = false;
  LazyReport lazy;
  PrefixReport prefix;
  DraftReport drafts;
  MemoryUse memory;
};

// Where a prefill stands.
struct Progress {
  size_t layer = 0;
  size_t n_layers = 0;
  size_t rows = 0;      // rows that this layer computes
  double fraction = 0;  // of the step's work done, 0 to 1, by a cost estimate
};

}  // namespace lazyfill
