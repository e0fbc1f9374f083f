#include "cli/options.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <system_error>

#include "cli/hub.h"
#include "cli/json_text.h"
#include "cli/messages.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "lazyfill/policies.h"

namespace lazyfill::cli {
namespace {

constexpr char kDefaultModel[] = "/SmolLM2-135M-Instruct.Q4_1.gguf";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string cache_folder() {
  const std::string cache = environment("XDG_CACHE_HOME");
  return (cache.empty() ? environment("HOME") + "/.cache" : cache) + "/lazyfill";
}

std::string default_model_path() {
  return models_folder() + kDefaultModel;
}

// "as the preset says" comes before the rows of the table.
std::vector<std::string> policy_choices() {
  std::vector<std::string> choices = {"auto"};
  for (const PolicyInfo& info : policies()) choices.emplace_back(info.name);
  return choices;
}

std::string policy_help() {
  std::string help = "Which tokens are kept, auto: as the preset says, or else lazy";
  for (const PolicyInfo& info : policies())
    help += "; " + std::string(info.name) + ": " + std::string(info.help);
  return help + "; see docs/lazy.md";
}

// "window, focus and fastkv": the policies for which it is true.
template <class Predicate>
std::string policies_where(Predicate is_meant) {
  std::vector<std::string> names;
  for (const PolicyInfo& info : policies()) {
    if (is_meant(info)) names.emplace_back(info.name);
  }
  if (names.size() < 2) return join(names, "");
  const std::string last = names.back();
  names.pop_back();
  return join(names, ", ") + " and " + last;
}

// "8 with window, 3 with focus"
std::string revive_margins() {
  std::vector<std::string> margins;
  for (const PolicyInfo& info : policies()) {
    if (info.revive_margin > 0)
      margins.push_back(short_number(info.revive_margin) + " with " + std::string(info.name));
  }
  return join(margins, ", ");
}

}  // namespace

void ModelFlags::add_to(Flags& flags) {
  flags.group("Model");
  flags.add_text("-m,--model", path, "MODEL.gguf",
                 "The model file, or hf:OWNER/REPO[:QUANT]; default: the one in the user's cache");
  flags.take_model_word(path);
  flags.add_count("-t,--threads", n_threads, 0, 1024, "Threads; 0: one a core", 0);
  flags.add_count("-c,--ctx", context_tokens, 0, kMostTokens,
                  "Tokens that prompt and answer may take together; 0: the model's", 0);
  flags.add_choice("--kv", kv, {"f16", "q8_0"},
                   "How keys and values are kept: 16 bits, or 8 with a scale for every 32; default f16");
  flags.add_choice("--activations", activations, {"16", "8"},
                   "Bits of the rows that weights multiply: 16, or 8 but for queries, keys and values, which "
                   "makes prompts a fifth to a third faster and is less exact; default 16");
  flags.add_switch("--quiet", quiet, "Only results, warnings and errors");
}

void LazyFlags::add_to(Flags& flags, bool with_schedule) {
  flags.group("Lazy prefill");
  if (with_schedule) {
    flags.add_text(
        "--lazy", options.schedule, "off|auto|fast|LAYER:KEEP,...",
        "Dense (off), the model's preset (auto), its preset that loses more (fast), or stages: after LAYER "
        "(from 0, or 50% of the depth) keep the fraction KEEP of the tokens, or @512 tokens; default auto");
  }
  const std::string with_window =
      policies_where([](const PolicyInfo& info) { return info.voters != Voters::kLastRow; });
  const std::string with_pooling = policies_where([](const PolicyInfo& info) { return info.pools; });
  const std::string with_words =
      policies_where([](const PolicyInfo& info) { return info.voters == Voters::kWords; });
  const std::string with_memory = policies_where([](const PolicyInfo& info) { return info.remembers; });
  const std::string with_auto =
      policies_where([](const PolicyInfo& info) { return info.revival == Revival::automatic(); });
  flags.add_choice("--policy", policy_, policy_choices(), policy_help());
  flags.add_count("--window-rows", options.window_rows, 1, 4096,
                  "Rows that vote with --policy " + with_window + "; default 8");
  flags.add_choice("--pool", pooling_, {"none", "avg", "max"},
                   "Pooling over neighbours with --policy " + with_pooling + "; default avg");
  flags.add_count("--pool-width", options.pooling_width, 1, 1023,
                  "Neighbours that are pooled, an odd number; default 7");
  flags.add_count(
      "--score-layers", options.score_layers, 1, 4096,
      "Layers up to the pruning one whose attention counts with --policy " + with_words + "; default 3");
  flags.add_real("--vote-memory", options.vote_memory, 0, 0.999F,
                 "Share of the earlier steps' attention that counts with that of a decode step, with "
                 "--policy " +
                     with_memory + "; default 0.9");
  flags.add_seed("--policy-seed", options.seed, "Seed of a choice by chance; default 0");
  flags.add_count("--protect-first", options.protect_first, 0, kMostTokens,
                  "First tokens that are never dropped; default 0");
  flags.add_count("--protect-last", options.protect_last, 1, kMostTokens,
                  "Newest tokens that are never dropped; default 1");
  flags.add_revival(
      "--revive", options.revival, kMostTokens,
      "Dropped tokens that come back at most at each pruning layer of a decode step; all: every one that is "
      "wanted, as in LazyLLM; auto: up to 8, as far as the tokens that stay away save the time; default: as "
      "the preset says, else auto with --policy " +
          with_auto + " and 1 with others");
  flags.add_real("--revive-margin", options.revive_margin, 0, 1e6F,
                 "And only those with so many times the score of the weakest token that stays; default: as "
                 "the preset says, else " +
                     revive_margins() + ", and 0 with other policies or --revive all");
  flags.add_real("--sparse-attention", options.attention_mass, 0, 1,
                 "Rows of the prompt look only at the columns that hold this share of their attention, by a "
                 "sample of rows; 1: at all columns; default 1, or as the preset says");
  flags.add_switch("--keep-generated", keep_generated_, "Never drop generated tokens");
}

LazyOptions LazyFlags::resolve() const {
  constexpr Pooling kPoolings[] = {Pooling::kNone, Pooling::kAverage, Pooling::kMax};
  LazyOptions resolved = options;
  if (policy_ > 0) resolved.policy = policies()[policy_ - 1].policy;
  resolved.pooling = kPoolings[pooling_];
  resolved.prune_generated = !keep_generated_;
  return resolved;
}

void TextFlags::add_to(Flags& flags) {
  flags.add_choice(
      "--invalid-utf8", invalid_utf8_, {"refuse", "replace"},
      "Text that is not valid UTF-8 is refused, or each ill-formed sequence of its bytes becomes "
      "U+FFFD (replace); default refuse");
}

void PromptFlags::add_to(Flags& flags) {
  flags.group("Prompt");
  flags.add_text("-p,--prompt", prompt, "TEXT", "The prompt");
  flags.take_prompt_word(prompt);
  flags.add_texts(
      "-f,--file", files, "FILE",
      "The prompt is this file, - for standard input; several follow one another, and the text of "
      "-p follows them. With -p alone, text that comes on standard input within 3 seconds is the "
      "file");
  text.add_to(flags);
}

void PromptFlags::add_special_to(Flags& flags, bool& special) {
  flags.add_switch("--special", special,
                   "Control tokens written in the prompt become control tokens; without it they are text");
}

void TemplateFlags::add_to(Flags& flags) {
  flags.add_text(
      "--tools", tools_file, "FILE",
      "Functions that the model may call: a JSON array as in OpenAI's interface, for its chat template");
  flags.add_text("--template-vars", variables, "JSON",
                 "Further variables of the chat template, such as '{\"enable_thinking\": false}'");
}

Result<ChatRequest> TemplateFlags::resolve(const TextFlags& flags) const {
  ChatRequest request;
  if (!tools_file.empty()) {
    auto text = read_text_file(tools_file, flags);
    if (!text) return tl::unexpected(text.error());
    const auto tools = parse_json(*text, quote(tools_file) + ", which holds no JSON array of tools,");
    if (!tools) return tl::unexpected(tools.error());
    if (!tools->is_array())
      return fail(ErrorCode::kInvalidFile, quote(tools_file) + " holds no JSON array of tools");
    request.tools_json = std::move(*text);
  }
  if (!variables.empty()) {
    const auto object = parse_json(variables, "--template-vars takes a JSON object, but this");
    if (!object) return tl::unexpected(object.error());
    if (!object->is_object())
      return fail(ErrorCode::kInvalidArgument,
                  "--template-vars takes a JSON object, such as '{\"name\": true}'");
    request.variables_json = variables;
  }
  return request;
}

Result<std::string> read_messages(const std::string& path, const TextFlags& flags) {
  auto text = read_text_file(path, flags);
  if (!text) return tl::unexpected(text.error());
  const auto value = parse_json(*text, quote(path) + ", which holds no JSON array of messages,");
  if (!value) return tl::unexpected(value.error());
  size_t begin = 0;
  std::string array = *text;
  if (value->is_object()) {
    for (const JsonSpan& span : json_spans(*text)) {
      if (span.name != "messages") continue;
      begin = span.begin;
      array = text->substr(span.begin, span.end - span.begin);
    }
  }
  const MessagesFault fault = find_fault_in_messages(array);
  if (fault.sentence.empty()) return array;
  return fail(ErrorCode::kInvalidFile, quote(path) + ", " +
                                           position_text(position_of(*text, begin + fault.byte)) +
                                           ": the conversation " + fault.sentence);
}

std::string wanted_isa() {
  return environment("LAZYFILL_ISA");
}

std::string user_preset_folder() {
  return cache_folder() + "/presets";
}

std::string hints_folder() {
  return cache_folder() + "/hints";
}

std::string models_folder() {
  return cache_folder() + "/models";
}

std::string likely_model_path(const std::string& given) {
  if (!is_hub_name(given)) return given.empty() ? default_model_path() : given;
  const auto name = parse_hub_name(given);
  return name ? cached_model(*name).value_or(given) : given;
}

Result<std::string> resolve_model_path(const std::string& given, bool quiet) {
  if (is_hub_name(given)) {
    const auto name = parse_hub_name(given);
    if (!name) return tl::unexpected(name.error());
    if (auto path = cached_model(*name)) return *path;
    return pull_model(*name, Terminal(quiet));
  }
  const std::string path = given.empty() ? default_model_path() : given;
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return path;
  if (given.empty()) {
    return fail(
        ErrorCode::kNotFound,
        "no model: give one with -m MODEL.gguf or -m hf:OWNER/REPO, or run scripts/quickstart.sh once, "
        "which puts "
        "the default model at " +
            path);
  }
  return fail(ErrorCode::kNotFound, "cannot open the model " + quote(path) + ": " + std::strerror(errno));
}

Result<LoadedEngine> load_engine(const ModelFlags& flags) {
  auto path = resolve_model_path(flags.path, flags.quiet);
  if (!path) return tl::unexpected(path.error());
  const auto start = std::chrono::steady_clock::now();
  auto engine = Engine::load(
      *path, {.n_threads = flags.n_threads,
              .preset_folder = user_preset_folder(),
              .kv = flags.kv == 1 ? KvType::kQ8 : KvType::kAsComputed,
              .activation_bits = flags.activations == 1 ? ActivationBits::k8 : ActivationBits::k16,
              .isa = wanted_isa()});
  if (!engine) return tl::unexpected(engine.error());
  auto executor = engine->start_executor({});
  if (!executor) return tl::unexpected(executor.error());
  for (const std::string& warning : engine->info().warnings) Terminal(true).warn(warning);
  const size_t n_threads = executor->n_threads();
  if (const size_t n_cores = std::thread::hardware_concurrency();
      flags.n_threads == 0 && n_threads < n_cores) {
    Terminal(flags.quiet)
        .warn("only " + grouped(n_threads) + " of " + grouped(n_cores) +
              " threads could be started, so prompts take longer: the system limits processes or memory");
  }
  const double load_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return LoadedEngine{std::move(*engine), std::move(*executor), load_ms};
}

Result<size_t> resolve_context(const ModelFlags& flags, const ModelInfo& info) {
  if (flags.context_tokens == 0) return info.context_length;
  if (flags.context_tokens > info.context_length) {
    return fail(ErrorCode::kInvalidArgument, "--ctx " + grouped(flags.context_tokens) +
                                                 " is above this model's context of " +
                                                 grouped(info.context_length) + " tokens; give less");
  }
  return flags.context_tokens;
}

Result<void> check_prompt_fits(size_t n_tokens, size_t context_tokens, const ModelInfo& info) {
  if (n_tokens < context_tokens) return {};
  const std::string way_out =
      context_tokens < info.context_length
          ? "raise --ctx (up to " + grouped(info.context_length) + ") or shorten the prompt"
          : "shorten the prompt, or take a model with a longer context";
  return fail(ErrorCode::kContextExceeded, "the prompt has " + grouped(n_tokens) +
                                               " tokens, but the context holds " + grouped(context_tokens) +
                                               " and the answer needs room for one at least: " + way_out);
}

int report_exception(const char* command) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return report_failure(command,
                          {ErrorCode::kOutOfMemory,
                           "not enough memory: give a smaller --ctx, a shorter prompt or a smaller model"});
  } catch (const std::system_error& error) {
    return report_failure(command,
                          {ErrorCode::kOutOfMemory, std::string("the system refused: ") + error.what() +
                                                        "; give fewer --threads or free some memory"});
  } catch (const std::exception& error) {
    return report_failure(command,
                          {ErrorCode::kUnsupported,
                           std::string("an error inside lazyfill, please report it: ") + error.what()});
  }
}

int report_schedule_error(std::string_view command, const Error& error) {
  if (error.code == ErrorCode::kInvalidArgument) return wrong_usage(command, printable(error.message));
  return report_failure(command, error);
}

}  // namespace lazyfill::cli
