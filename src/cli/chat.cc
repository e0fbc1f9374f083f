// lazyfill chat: a conversation in the terminal over one session, about a document where one is given.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/question_reader.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "conversation/conversation.h"
#include "lazyfill/policies.h"

namespace lazyfill::cli {
namespace {

constexpr char kCommand[] = "chat";
constexpr char kSummary[] =
    "A conversation in the terminal. A document given with -f is read once and asked about many times.";
constexpr char kExamples[] =
    "  lazyfill chat\n"
    "  lazyfill chat -f report.txt --lazy auto\n"
    "  lazyfill chat --system \"Answer in one sentence.\" --temp 0\n"
    "  printf 'Who wrote it?\\nWhen?\\n' | lazyfill chat -f report.txt --quiet\n";
constexpr char kHelp[] =
    "/help           this list\n"
    "/clear          forget the conversation, keep the document and the system message\n"
    "/retry          answer the last question again\n"
    "/system [TEXT]  set the system message; without TEXT show it, with - leave it out\n"
    "/save FILE      write the conversation as JSON\n"
    "/load FILE      go on with a conversation of /save\n"
    "/stats          tokens, speed, what was left out\n"
    "/bye            leave (also /quit, Ctrl-D; Ctrl-C stops an answer)\n"
    "//...           a question that begins with a slash\n"
    "\"\"\"             begins and ends a question of several lines; so does a backslash at the end of a "
    "line";
const std::vector<std::string> kChatCommands = {"/help", "/clear", "/retry", "/system", "/save",
                                                "/load", "/stats", "/bye",   "/quit",   "/exit"};

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

struct ChatFlags {
  ModelFlags model;
  LazyFlags lazy;
  GenerateFlags generate;
  std::optional<StreamOptions> stream;
  TemplateFlags chat_template;
  std::vector<std::string> files;
  TextFlags text;
  std::string system;
};

class Chat {
 public:
  Chat(const ChatFlags& flags, ChatRequest request, const Engine& engine, Session session,
       std::string document, size_t context_tokens, Interrupt& interrupt)
      : flags_(flags),
        request_(std::move(request)),
        engine_(engine),
        conversation_(std::move(session)),
        document_(std::move(document)),
        context_tokens_(flags.stream ? SIZE_MAX : context_tokens),
        interrupt_(interrupt),
        terminal_(flags.model.quiet),
        system_(flags.system) {}

  // The part that stays, the system message and tools as the template spells them, is computed by the whole
  // model, before anybody waits for it; what follows by the schedule.
  Result<void> read_system() {
    const LazyOptions lazy = flags_.lazy.resolve();
    const bool leaves_rows = !lazy.policy || policy_info(*lazy.policy).leaves == Leaves::kRows;
    if (lazy.schedule == "off" || !leaves_rows) return {};
    auto tokens = before_question("");
    if (!tokens) return tl::unexpected(tokens.error());
    if (begins_with(conversation_.tokens(), *tokens)) return {};  // also where nothing stays
    if (auto fits = check_prompt_fits(tokens->size(), context_tokens_, engine_.info()); !fits) return fits;
    return conversation_.compute_dense(*tokens, lazy, {.stop = interrupt_.token()});
  }

  // Prefills what every first question will begin with, so that the first answer comes as soon as the others.
  Result<void> read_document() {
    if (auto read = read_system(); !read) return read;
    if (document_.empty()) return {};
    auto tokens = before_question(with_document(""));
    if (!tokens) return tl::unexpected(tokens.error());
    if (tokens->empty()) return {};
    if (auto fits = check_prompt_fits(tokens->size(), context_tokens_, engine_.info()); !fits) return fits;
    if (auto n_new = conversation_.sync(*tokens); !n_new) return tl::unexpected(n_new.error());
    GenerateOptions options;
    options.max_tokens = 1;  // a step gives one token at least; it is taken back below
    options.sampling.temperature = 0;
    ProgressBar bar(terminal_, "reading");
    auto generation = conversation_.generate(options, watched(bar, interrupt_.token(), false));
    if (!generation) return tl::unexpected(generation.error());
    bar.clear();
    terminal_.note("read " + grouped(tokens->size()) + " tokens in " +
                   duration_text(generation->timings.ttft_ms) + ", lazy " + lazy_text(generation->lazy));
    return conversation_.rewind(tokens->size());
  }

  // On an error the conversation stays as it was.
  Result<void> ask(const std::string& question) {
    std::vector<ChatMessage> messages = messages_;
    messages.push_back({"user", messages.empty() ? with_document(question) : question});
    n_retries_ = 0;
    return answer(std::move(messages));
  }

  // The last question again, with the next seed where one is set.
  Result<void> retry() {
    std::vector<ChatMessage> messages = messages_;
    while (!messages.empty() && messages.back().role != "user") messages.pop_back();
    if (messages.empty()) return fail(ErrorCode::kInvalidArgument, "there is no question to answer again");
    if (flags_.generate.options.sampling.temperature == 0)
      terminal_.note("at --temp 0 every answer to a question is the same");
    ++n_retries_;
    return answer(std::move(messages));
  }

  void clear() {
    terminal_.note("forgot " + messages_text() + (document_.empty() ? "" : "; the document stays"));
    messages_.clear();
  }

  void show_system() const {
    terminal_.note(system_.empty() ? "there is no system message"
                                   : "the system message: " + printable(system_));
  }

  Result<void> set_system(const std::string& text) {
    std::string before = std::exchange(system_, text == "-" ? "" : text);
    if (auto tokens = render({{"user", "a"}}); !tokens) {
      system_ = std::move(before);
      return tl::unexpected(tokens.error());
    }
    terminal_.note(system_.empty() ? "the system message is left out" : "the system message is set");
    return {};
  }

  void show_stats() const {
    const size_t n_tokens = conversation_.tokens().size();
    const std::string of =
        flags_.stream ? " tokens" : " of " + grouped(context_tokens_) + " tokens of context";
    terminal_.note(messages_text() + ", " + grouped(n_tokens) + of +
                   (last_note_.empty() ? "" : "; last answer: " + last_note_));
  }

  // Messages in parts or with calls of tools are none that this conversation could hold.
  Result<void> load(const std::string& path) {
    auto array = read_messages(path, flags_.text);
    if (!array) return tl::unexpected(array.error());
    std::vector<ChatMessage> messages;
    for (const auto& message : nlohmann::json::parse(*array)) {
      if (!message.contains("content") || !message["content"].is_string() || message.contains("tool_calls"))
        return fail(ErrorCode::kUnsupported,
                    quote(path) + " holds more than texts: lazyfill run --chat --messages takes it");
      messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
    }
    std::string system;
    if (messages.front().role == "system") {
      system = messages.front().content;
      messages.erase(messages.begin());
    }
    std::string before = std::exchange(system_, std::move(system));
    if (auto tokens = render(messages); !tokens) {
      system_ = std::move(before);
      return tl::unexpected(tokens.error());
    }
    messages_ = std::move(messages);
    terminal_.note("loaded " + messages_text() + (system_.empty() ? "" : " and a system message"));
    return {};
  }

  Result<void> save(const std::string& path) const {
    InputFiles inputs = {"-", flags_.chat_template.tools_file};
    inputs.add(flags_.files);
    inputs.add_model(flags_.model.path);
    inputs.add_presets(flags_.model.path);
    auto output = OutputFile::open(path, inputs);
    if (!output) return tl::unexpected(output.error());
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    for (const ChatMessage& message : messages_)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    if (auto written = output->write(json_line({{"messages", std::move(messages)}})); !written)
      return written;
    terminal_.note("saved " + messages_text() + (system_.empty() ? "" : " and the system message") + " in " +
                   quote(path));
    return {};
  }

  const Terminal& terminal() const { return terminal_; }

 private:
  // Ends with a question. On an error the conversation stays as it was.
  Result<void> answer(std::vector<ChatMessage> messages) {
    auto tokens = render(messages);
    if (!tokens) return tl::unexpected(tokens.error());
    if (auto fits = check_prompt_fits(tokens->size(), context_tokens_, engine_.info()); !fits) {
      if (messages_.empty()) return fits;
      return fail(fits.error().code, fits.error().message + "; or /clear forgets the conversation so far");
    }
    if (auto read = read_system(); !read) return read;
    auto n_new = conversation_.sync(*tokens);
    if (!n_new) return tl::unexpected(n_new.error());
    auto generation = generate();
    if (!generation) return tl::unexpected(generation.error());
    last_note_ = answer_note(*generation, *n_new);
    terminal_.note(last_note_);
    const Cut cut = cut_of(*generation, context_tokens_);
    if (cut == Cut::kByLength) terminal_.note(cut_sentence(*generation, context_tokens_));
    if (cut == Cut::kByContext)
      terminal_.warn(cut_sentence(*generation, context_tokens_) + "; /clear forgets the conversation so far");
    messages.push_back({"assistant", generation->plain_text});
    messages_ = std::move(messages);
    return {};
  }

  std::string messages_text() const {
    return grouped(messages_.size()) + (messages_.size() == 1 ? " message" : " messages");
  }

  std::string with_document(const std::string& question) const {
    return document_.empty() ? question : document_ + "\n\n" + question;
  }

  Result<std::vector<int32_t>> render(std::vector<ChatMessage> messages) const {
    if (!system_.empty()) messages.insert(messages.begin(), {"system", system_});
    ChatRequest request = request_;
    request.messages = std::move(messages);
    return engine_.tokenize_chat(request);
  }

  // What stands before a first question that begins so, whatever the question is.
  Result<std::vector<int32_t>> before_question(const std::string& begins) const {
    auto one = render({{"user", begins + "a"}});
    if (!one) return one;
    auto other = render({{"user", begins + "Z"}});
    if (!other) return other;
    one->resize(common_prefix(*one, *other));
    return one;
  }

  Result<Generation> generate() {
    ProgressBar bar(terminal_, "prefill");
    GenerateOptions options = flags_.generate.options;
    if (options.sampling.seed != 0) options.sampling.seed += n_retries_;
    auto generation = conversation_.generate(options, watched(bar, interrupt_.token(), true));
    bar.clear();
    if (generation) std::printf("\n");
    std::fflush(stdout);
    return generation;
  }

  static std::string answer_note(const Generation& generation, size_t n_new) {
    std::string note = "TTFT " + duration_text(generation.timings.ttft_ms) + ", " + grouped(n_new) +
                       " new tokens, " + grouped(generation.token_ids.size()) + " generated";
    const double speed = decode_tokens_per_s(generation);
    return speed > 0 ? note + " at " + fixed(speed, 1) + " tokens/s" : note;
  }

  const ChatFlags& flags_;
  ChatRequest request_;  // tools and variables
  const Engine& engine_;
  Conversation conversation_;
  std::string document_;
  size_t context_tokens_;  // that the conversation may take
  Interrupt& interrupt_;
  Terminal terminal_;
  std::string system_;
  std::string last_note_;  // of the latest answer
  uint64_t n_retries_ = 0;
  std::vector<ChatMessage>
      messages_;  // without the system message; the document is part of the first question
};

enum class Obeyed { kDone, kFailed, kLeave, kIsQuestion };

Obeyed done_or_failed(const Result<void>& done) {
  if (done) return Obeyed::kDone;
  report_failure(kCommand, done.error());
  return Obeyed::kFailed;
}

// text begins with a slash. What is no command but has several lines, such as pasted code, is a question.
Obeyed obey(const std::string& text, Chat& chat) {
  const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  const std::string name = text.substr(0, end);
  const std::string rest = trimmed(text.substr(end));
  if (name == "/bye" || name == "/quit" || name == "/exit") return Obeyed::kLeave;
  if (name == "/clear") return chat.clear(), Obeyed::kDone;
  if (name == "/stats") return chat.show_stats(), Obeyed::kDone;
  if (name == "/retry") return done_or_failed(chat.retry());
  if (name == "/system" && rest.empty()) return chat.show_system(), Obeyed::kDone;
  if (name == "/system") return done_or_failed(chat.set_system(rest));
  if (name == "/save" && !rest.empty()) return done_or_failed(chat.save(rest));
  if (name == "/load" && !rest.empty()) return done_or_failed(chat.load(rest));
  if (name == "/help") return std::fprintf(stderr, "%s\n", kHelp), Obeyed::kDone;
  if (name == "/save" || name == "/load")
    return done_or_failed(fail(ErrorCode::kInvalidArgument, name + " needs the name of a file"));
  if (text.find('\n') != std::string::npos) return Obeyed::kIsQuestion;
  const auto candidate = nearest(name, kChatCommands);
  return done_or_failed(fail(ErrorCode::kInvalidArgument,
                             "unknown command " + quote(name) +
                                 (candidate ? "; did you mean " + *candidate + "?" : "; /help lists them") +
                                 " A question that begins with a slash begins with two"));
}

// One failed question does not end a conversation at a terminal, but it does decide the exit code of a
// script.
int converse(Chat& chat, const TextFlags& flags, Interrupt& interrupt) {
  const bool at_terminal = is_terminal(Stream::kInput);
  const auto reader = make_question_reader({kChatCommands, default_history_file()});
  bool is_first = true;
  int exit_code = kExitDone;
  while (true) {
    interrupt.end_program_at_once(true);
    auto text = read_question(*reader, at_terminal);
    if (!text) break;
    if (std::exchange(is_first, false)) drop_byte_order_mark(*text);
    const std::string line = trimmed(*text);
    if (line.empty()) continue;
    interrupt.end_program_at_once(false);
    interrupt.reset();
    if (line.front() == '/' && !line.starts_with("//")) {
      const Obeyed obeyed = obey(line, chat);
      if (obeyed == Obeyed::kLeave) break;
      if (obeyed == Obeyed::kFailed) exit_code = kExitFailed;
      if (obeyed != Obeyed::kIsQuestion) continue;
    }
    if (line.starts_with("//")) text = line.substr(1);
    auto question = checked_text(std::move(*text), "the question", flags);
    auto asked = question ? chat.ask(*question) : Result<void>(tl::unexpected(question.error()));
    if (!asked) exit_code = report_failure(kCommand, asked.error());
    if (!asked && !at_terminal) break;
  }
  if (at_terminal) std::fprintf(stderr, "\n");
  return at_terminal ? kExitDone : exit_code;
}

int chat(const ChatFlags& flags) {
  Interrupt interrupt;
  for (const std::string& path : flags.files) {
    if (is_standard_input(path))
      return wrong_usage(kCommand, "-f needs a file: standard input is for the questions");
  }
  auto document = read_text_files(flags.files, flags.text);
  if (!document) return report_failure(kCommand, document.error());
  auto request = flags.chat_template.resolve(flags.text);
  if (!request) return report_failure(kCommand, request.error());
  auto loaded = load_engine(flags.model);
  if (!loaded) return report_failure(kCommand, loaded.error());
  const Engine& engine = loaded->engine;
  if (!engine.info().has_chat_template) {
    return report_failure(kCommand,
                          {ErrorCode::kUnsupported,
                           "this model has no chat template: use lazyfill run, or take an instruct model"});
  }
  auto context = resolve_context(flags.model, engine.info());
  if (!context) return wrong_usage(kCommand, context.error().message);
  const LazyOptions lazy = flags.lazy.resolve();
  if (auto stages = engine.resolve_schedule(lazy, *context); !stages)
    return report_schedule_error(kCommand, stages.error());
  auto session =
      loaded->executor.start_session({.context_tokens = *context, .lazy = lazy, .stream = flags.stream});
  if (!session) return report_failure(kCommand, session.error());
  const Terminal terminal(flags.model.quiet);
  terminal.note(model_summary(engine.info()));
  Chat talk(flags, std::move(*request), engine, std::move(*session), std::move(*document), *context,
            interrupt);
  if (auto read = talk.read_document(); !read) return report_failure(kCommand, read.error());
  if (is_terminal(Stream::kInput)) terminal.note("/help shows the commands");
  return converse(talk, flags.text, interrupt);
}

}  // namespace

int chat_command(const std::vector<std::string>& args) {
  ChatFlags values;
  Flags flags(kCommand, kSummary, kExamples);
  values.model.add_to(flags);
  flags.group("Conversation");
  flags.add_texts("-f,--file", values.files, "FILE", "A document to talk about; several follow one another");
  values.text.add_to(flags);
  flags.add_text("--system", values.system, "TEXT", "System message");
  values.chat_template.add_to(flags);
  values.lazy.add_to(flags);
  flags.add_stream(values.stream);
  values.generate.add_to(flags, 512);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  return guarded(kCommand, [&] { return chat(values); });
}

}  // namespace lazyfill::cli
