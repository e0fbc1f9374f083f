#include "cli/runner.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "cli/messages.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "conversation/conversation.h"
#include "lazyfill/policies.h"
#include "pruning/compression.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTopLogprobs = 20;
const std::vector<std::string> kCompressors = {"information", "random"};

Json fidelity_json(const DenseReference& dense, const Fidelity& fidelity) {
  return {{"tokens", dense.logprobs.size()}, {"first_kl", fidelity.first_kl},
          {"mean_kl", fidelity.mean_kl},     {"agreement", fidelity.agreement},
          {"dense_ttft_ms", dense.ttft_ms},  {"ttft_ms", fidelity.generation.timings.ttft_ms},
          {"dense_text", dense.text}};
}

}  // namespace

Error stopped(size_t n_tokens) {
  if (n_tokens == 0) return {ErrorCode::kCancelled, "stopped before the first token"};
  return {ErrorCode::kCancelled, "stopped after " + grouped(n_tokens) + " tokens"};
}

void PromptSettings::add_to(Flags& flags) {
  PromptFlags::add_special_to(flags, special);
  flags.add_switch("--chat", chat, "Put the prompt into the model's chat template");
  flags.add_text("--system", system, "TEXT", "System message; with --chat");
  lazy.add_to(flags);
  flags.add_stream(stream);
  flags.add_real("--compress", compress, 0.01F, 1,
                 "Keep this share of the prompt's tokens before the model sees it; default 1: all");
  flags.add_choice("--compress-by", compress_by, kCompressors,
                   "Which: those that the model itself finds most surprising (information), or a choice by "
                   "chance (random, with --policy-seed); default information");
  generate.add_to(flags, 128, true);
  guide.add_to(flags);
  flags.add_count(
      "--fidelity", n_fidelity, 0, 4096,
      "Also compare with the dense model over N tokens (KL, agreement), in the record; default 0: "
      "no comparison");
  flags.add_switch("--no-answer", no_answer,
                   "With --fidelity: only compare; the record has the dense model's answer");
}

std::string PromptSettings::contradiction() const {
  if (n_fidelity > 0 && compress < 1)
    return "--fidelity compares runs on the same prompt: leave --compress out";
  if (generate.options.max_tokens == 0 && n_fidelity > 0)
    return "-n 0 only scores the prompt: leave --fidelity out";
  if (no_answer && n_fidelity == 0) return "--no-answer needs --fidelity N";
  if (n_fidelity > 0 && stream)
    return "--fidelity compares with the dense model, which holds all of the text: leave --stream out";
  if (!system.empty() && !chat) return "--system needs --chat";
  return guide.contradiction();
}

Result<GenerateOptions> PromptSettings::options() const {
  GenerateOptions made = generate.options;
  auto resolved = guide.resolve();
  if (!resolved) return tl::unexpected(resolved.error());
  made.guide = std::move(*resolved);
  return made;
}

Runner::Runner(LoadedEngine loaded, size_t context_tokens, bool quiet, const Interrupt& interrupt)
    : loaded_(std::move(loaded)), context_tokens_(context_tokens), interrupt_(interrupt), terminal_(quiet) {}

Result<Runner::Answer> Runner::answer(const PromptSettings& settings, const std::string& text, bool stream,
                                      bool with_record) {
  if (settings.generate.options.max_tokens == 0) return score_prompt(settings, text, stream);
  auto prompt = prepared(settings, text);
  if (!prompt) return tl::unexpected(prompt.error());
  Answer answer;
  if (!settings.no_answer) {
    auto options = settings.options();
    if (!options) return tl::unexpected(options.error());
    if (prompt->infill) {
      if (settings.infill->form == InfillForm::kConstrained) options->guide = prompt->infill->guide;
      options->max_tokens += prompt->infill->n_bound_tokens;
    }
    if (with_record) options->n_top_logprobs = kTopLogprobs;
    ProgressBar bar(terminal_, "prefill");
    auto generation = generate(settings, *prompt, *options, watched(bar, interrupt_.token(), stream));
    bar.clear();
    if (!generation) return tl::unexpected(generation.error());
    // A middle is put between two texts as it is.
    if (stream && !prompt->infill) std::printf("\n");
    answer.generation = std::move(*generation);
  }
  answer.extra = compression_json(settings, *prompt);
  if (answer.generation.finish_reason == FinishReason::kCancelled || settings.n_fidelity == 0) return answer;
  auto fidelity = compare(settings, prompt->tokens);
  if (!fidelity) return tl::unexpected(fidelity.error());
  answer.extra["fidelity"] = fidelity_json(dense_.turns.front(), *fidelity);
  if (settings.no_answer) answer.generation = std::move(fidelity->generation);
  return answer;
}

Result<Runner::Answer> Runner::score_prompt(const PromptSettings& settings, const std::string& text,
                                            bool stream) {
  auto prompt = prepared(settings, text);
  if (!prompt) return tl::unexpected(prompt.error());
  const auto start = std::chrono::steady_clock::now();
  auto logprobs = executor().token_logprobs(prompt->tokens, interrupt_.token(), settings.stream);
  if (!logprobs) return tl::unexpected(logprobs.error());
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
  Answer answer;
  answer.extra = compression_json(settings, *prompt);
  answer.extra["prompt_logprobs"] = *logprobs;
  answer.generation.prompt_token_ids = std::move(prompt->tokens);
  answer.generation.timings.prefill_ms = answer.generation.timings.total_ms = passed.count();
  if (stream) std::printf("%s\n", score_sentence(*logprobs).c_str());
  return answer;
}

void Runner::tell_cut(const PromptSettings& settings, const Generation& generation) const {
  const std::string sentence = cut_sentence(generation, most_tokens(settings));
  switch (cut_of(generation, most_tokens(settings))) {
    case Cut::kNot:
      return;
    case Cut::kByLength:
      return terminal_.note(sentence);
    case Cut::kByContext: {
      const bool has_more = context_tokens_ < engine().info().context_length;
      const std::string most = grouped(engine().info().context_length);
      return terminal_.warn(sentence + (has_more
                                            ? "; --ctx allows more, up to " + most
                                            : "; shorten the prompt, or take a model with a longer one"));
    }
  }
}

Result<Runner::Answer> Runner::score_continuation(const PromptSettings& settings, const std::string& text,
                                                  const std::string& continuation) {
  auto prompt = prepared(settings, text);
  if (!prompt) return tl::unexpected(prompt.error());
  auto forced = engine().tokenize(continuation, false, settings.special);
  if (!forced) return tl::unexpected(forced.error());
  GenerateOptions options = settings.generate.options;
  options.max_tokens = forced->size();
  options.forced_tokens = *forced;
  options.stop.clear();
  std::vector<float> logprobs;
  ProgressBar bar(terminal_, "prefill");
  Callbacks calls = watched(bar, interrupt_.token(), false);
  calls.on_logits = [&](std::span<const float> logits) {
    logprobs.push_back(log_softmax(logits)[static_cast<size_t>((*forced)[logprobs.size()])]);
  };
  auto generation = generate(settings, *prompt, options, calls);
  bar.clear();
  if (!generation) return tl::unexpected(generation.error());
  if (generation->token_ids.size() < forced->size() && generation->finish_reason == FinishReason::kLength)
    return fail(ErrorCode::kContextExceeded, "the continuation does not fit into the context: shorten it");
  Answer answer{std::move(*generation), compression_json(settings, *prompt)};
  answer.extra["continuation_logprobs"] = logprobs;
  return answer;
}

Result<std::vector<Runner::Answer>> Runner::answer_questions(const PromptSettings& settings,
                                                             const PromptLine& line) {
  if (settings.generate.options.max_tokens == 0)
    return fail(ErrorCode::kInvalidArgument,
                "-n 0 scores a prompt; a document with questions needs -n 1 at least");
  if (settings.compress < 1)
    return fail(ErrorCode::kInvalidArgument,
                "a document with questions cannot be compressed: leave --compress out");
  std::vector<Answer> answers;
  auto options = settings.options();
  if (!options) return tl::unexpected(options.error());
  if (!settings.no_answer) {
    auto session = executor().start_session(
        {.context_tokens = context_tokens_, .lazy = settings.lazy.resolve(), .stream = settings.stream});
    if (!session) return tl::unexpected(session.error());
    Conversation conversation(std::move(*session));
    Transcript transcript = transcript_of(settings, line);
    for (const std::string& question : line.questions) {
      auto tokens = transcript.ask(question);
      if (!tokens) return tl::unexpected(tokens.error());
      if (auto fits = check_prompt_fits(tokens->size(), most_tokens(settings), engine().info()); !fits)
        return tl::unexpected(fits.error());
      if (auto n_new = conversation.sync(*tokens); !n_new) return tl::unexpected(n_new.error());
      ProgressBar bar(terminal_, "prefill");
      auto generation = conversation.generate(*options, watched(bar, interrupt_.token(), false));
      bar.clear();
      if (!generation) return tl::unexpected(generation.error());
      if (generation->finish_reason == FinishReason::kCancelled)
        return tl::unexpected(stopped(generation->token_ids.size()));
      transcript.answered(generation->plain_text);
      answers.push_back({std::move(*generation), Json::object()});
    }
  }
  if (settings.n_fidelity > 0) {
    auto compared = compare_questions(settings, line);
    if (!compared) return tl::unexpected(compared.error());
    answers.resize(compared->size());
    for (size_t i = 0; i < answers.size(); ++i) {
      answers[i].extra["fidelity"] = fidelity_json(dense_.turns[i], (*compared)[i]);
      if (settings.no_answer) answers[i].generation = std::move((*compared)[i].generation);
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) answers[i].extra["turn"] = i + 1;
  return answers;
}

bool Runner::can_be_scheduled(const PromptSettings& settings, const PromptLine& line) const {
  const std::optional<Policy> policy = settings.lazy.resolve().policy;
  return settings.generate.options.max_tokens > 0 && line.continuation.empty() && line.document.empty() &&
         settings.compress >= 1 && settings.n_fidelity == 0 &&
         (!policy || policy_info(*policy).leaves == Leaves::kRows);
}

Result<Request> Runner::request_of(const PromptSettings& settings, const PromptLine& line) const {
  auto prompt = prepared(settings, line.messages.empty() ? line.prompt : line.messages);
  if (!prompt) return tl::unexpected(prompt.error());
  Request request;
  request.tokens = std::move(prompt->tokens);
  auto options = settings.options();
  if (!options) return tl::unexpected(options.error());
  request.options = std::move(*options);
  request.options.n_top_logprobs = kTopLogprobs;
  request.lazy = settings.lazy.resolve();
  request.stream = settings.stream;
  request.callbacks.stop = interrupt_.token();
  return request;
}

Result<std::string> Runner::record_line(const Answer& answer, const std::string& id) const {
  Json record = make_record(answer.generation, loaded_.load_ms);
  record["activation_bits"] = activation_bits(engine().info());
  record.update(answer.extra);
  if (prompt_logprobs_ && !record.contains("prompt_logprobs")) {
    auto logprobs = executor().token_logprobs(answer.generation.prompt_token_ids, interrupt_.token());
    if (!logprobs) return tl::unexpected(logprobs.error());
    record["prompt_logprobs"] = *logprobs;
  }
  return json_line(record, id);
}

Result<std::vector<int32_t>> Runner::tokenize(const PromptSettings& settings,
                                              const std::string& prompt) const {
  if (!settings.chat) return engine().tokenize(prompt, true, settings.special);
  ChatRequest request = request_;
  if (settings.whole_conversation) {
    request.messages_json = prompt;
  } else {
    if (!settings.system.empty()) request.messages.push_back({"system", settings.system});
    request.messages.push_back({"user", prompt});
  }
  auto tokens = tokenize_conversation(engine(), request, settings.special);
  if (tokens && prints_parts_as_list(engine(), request)) {
    terminal_.warn(
        "the model's chat template knows no content in parts and prints it as a list: give each content as "
        "one text");
  }
  return tokens;
}

Transcript Runner::transcript_of(const PromptSettings& settings, const PromptLine& line) const {
  ChatRequest request = request_;
  if (!settings.system.empty()) request.messages.push_back({"system", settings.system});
  return {engine(), line.document, settings.chat, settings.special, std::move(request)};
}

Result<Runner::Prompt> Runner::prepared(const PromptSettings& settings, const std::string& text) const {
  Prompt prompt;
  if (settings.infill) {
    const size_t n_answer = std::min(settings.generate.options.max_tokens, context_tokens_ / 2);
    auto made = make_infill_prompt(engine(), *settings.infill, context_tokens_ - n_answer);
    if (!made) return tl::unexpected(made.error());
    prompt.infill = std::move(*made);
  }
  auto tokens =
      prompt.infill ? Result<std::vector<int32_t>>(prompt.infill->tokens) : tokenize(settings, text);
  if (!tokens) return tl::unexpected(tokens.error());
  if (settings.compress >= 1) {
    prompt.tokens = std::move(*tokens);
  } else {
    const auto start = std::chrono::steady_clock::now();
    const auto keep = static_cast<double>(settings.compress);
    if (settings.compress_by == 0) {
      auto logprobs = executor().token_logprobs(*tokens, interrupt_.token());
      if (!logprobs) return tl::unexpected(logprobs.error());
      prompt.kept = choose_informative(*logprobs, keep);
    } else {
      prompt.kept = choose_at_random(tokens->size(), keep, settings.lazy.options.seed);
    }
    for (uint32_t index : prompt.kept) prompt.tokens.push_back((*tokens)[index]);
    const auto passed = std::chrono::steady_clock::now() - start;
    prompt.compress_ms = std::chrono::duration<double, std::milli>(passed).count();
  }
  if (auto fits = check_prompt_fits(prompt.tokens.size(), most_tokens(settings), engine().info()); !fits)
    return tl::unexpected(fits.error());
  return prompt;
}

Result<Generation> Runner::generate(const PromptSettings& settings, const Prompt& prompt,
                                    const GenerateOptions& options, const Callbacks& callbacks) const {
  auto session = executor().start_session(
      {.context_tokens = context_tokens_, .lazy = settings.lazy.resolve(), .stream = settings.stream});
  if (!session) return tl::unexpected(session.error());
  auto generation = session->generate(prompt.tokens, options, callbacks);
  if (!generation) return generation;
  generation->timings.ttft_ms += prompt.compress_ms;
  generation->timings.total_ms += prompt.compress_ms;
  return generation;
}

Json Runner::compression_json(const PromptSettings& settings, const Prompt& prompt) {
  if (prompt.kept.empty()) return Json::object();
  return {{"compression",
           {{"by", kCompressors[settings.compress_by]},
            {"kept", prompt.kept},
            {"compress_ms", prompt.compress_ms}}}};
}

Result<Fidelity> Runner::compare(const PromptSettings& settings, const std::vector<int32_t>& prompt) {
  const bool known = dense_.key.empty() && dense_.turns.size() == 1 && dense_.turns[0].prompt == prompt &&
                     dense_.turns[0].logprobs.size() == settings.n_fidelity;
  if (!known) {
    auto dense = dense_reference(executor(), prompt, settings.n_fidelity, interrupt_.token());
    if (!dense) return tl::unexpected(dense.error());
    dense_ = {};
    dense_.turns.push_back(std::move(*dense));
  }
  return measure_fidelity(executor(), dense_.turns.front(), settings.lazy.resolve(), interrupt_.token());
}

// Every turn follows the dense model's answers, so that all policies stand before the same words.
Result<std::vector<Fidelity>> Runner::compare_questions(const PromptSettings& settings,
                                                        const PromptLine& line) {
  if (auto asked = ask_dense(settings, line); !asked) return tl::unexpected(asked.error());
  auto session =
      executor().start_session({.context_tokens = context_tokens_, .lazy = settings.lazy.resolve()});
  if (!session) return tl::unexpected(session.error());
  Conversation conversation(std::move(*session));
  Transcript transcript = transcript_of(settings, line);
  std::vector<Fidelity> compared;
  for (size_t i = 0; i < line.questions.size(); ++i) {
    auto tokens = transcript.ask(line.questions[i]);
    if (!tokens) return tl::unexpected(tokens.error());
    const DenseReference& dense = dense_.turns[i];
    auto fidelity = follow_turn(conversation, *tokens, dense, interrupt_.token());
    if (!fidelity) return tl::unexpected(fidelity.error());
    transcript.answered(dense.text);
    compared.push_back(std::move(*fidelity));
  }
  return compared;
}

Result<void> Runner::ask_dense(const PromptSettings& settings, const PromptLine& line) {
  const Json key = {line.document,    line.questions,  settings.n_fidelity,           settings.chat,
                    settings.special, settings.system, settings.generate.options.stop};
  if (dense_.key == key.dump(-1, ' ', false, Json::error_handler_t::replace)) return {};
  LazyOptions off;
  off.schedule = "off";
  auto session = executor().start_session({.context_tokens = context_tokens_, .lazy = off});
  if (!session) return tl::unexpected(session.error());
  Conversation conversation(std::move(*session));
  Transcript transcript = transcript_of(settings, line);
  GenerateOptions options = settings.generate.options;
  options.max_tokens = settings.n_fidelity;
  options.show_special = false;  // the history must not spell out names
  options.sampling.temperature = 0;
  dense_ = {};
  for (const std::string& question : line.questions) {
    auto tokens = transcript.ask(question);
    if (!tokens) return tl::unexpected(tokens.error());
    // One more than is left: the last token of an answer is never computed.
    if (auto fits =
            check_prompt_fits(tokens->size() + settings.n_fidelity - 1, context_tokens_, engine().info());
        !fits)
      return fits;
    auto dense = dense_turn(conversation, *tokens, options, interrupt_.token());
    if (!dense) return tl::unexpected(dense.error());
    transcript.answered(dense->text);
    dense_.turns.push_back(std::move(*dense));
  }
  dense_.key = key.dump(-1, ' ', false, Json::error_handler_t::replace);
  return {};
}

}  // namespace lazyfill::cli
