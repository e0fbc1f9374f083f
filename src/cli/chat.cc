// lazyfill chat: a conversation in the terminal over one session, about a document where one is given.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/record.h"
#include "cli/summary.h"
#include "cli/text.h"
#include "cli/text_input.h"
#include "conversation/conversation.h"

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
    "/help         this list\n"
    "/clear        forget the conversation, keep the document\n"
    "/save FILE    write the conversation as JSON\n"
    "/quit         leave (also Ctrl-D; Ctrl-C stops an answer)";

struct ChatFlags {
  ModelFlags model;
  LazyFlags lazy;
  GenerateFlags generate;
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
        context_tokens_(context_tokens),
        interrupt_(interrupt),
        terminal_(flags.model.quiet) {}

  // Prefills what every first question will begin with, so that the first answer comes as soon as the others.
  Result<void> read_document() {
    if (document_.empty()) return {};
    auto one = render({{"user", with_document("a")}});
    if (!one) return tl::unexpected(one.error());
    auto other = render({{"user", with_document("Z")}});
    if (!other) return tl::unexpected(other.error());
    one->resize(common_prefix(*one, *other));
    if (one->empty()) return {};
    if (auto fits = check_prompt_fits(one->size(), context_tokens_, engine_.info()); !fits) return fits;
    if (auto n_new = conversation_.sync(*one); !n_new) return tl::unexpected(n_new.error());
    GenerateOptions options;
    options.max_tokens = 1;  // a step gives one token at least; it is taken back below
    options.sampling.temperature = 0;
    ProgressBar bar(terminal_, "reading");
    auto generation = conversation_.generate(options, watched(bar, interrupt_.token(), false));
    if (!generation) return tl::unexpected(generation.error());
    bar.clear();
    terminal_.note("read " + grouped(one->size()) + " tokens in " +
                   duration_text(generation->timings.ttft_ms) + ", lazy " + lazy_text(generation->lazy));
    return conversation_.rewind(one->size());
  }

  // On an error the conversation stays as it was.
  Result<void> ask(const std::string& question) {
    std::vector<ChatMessage> messages = messages_;
    messages.push_back({"user", messages.empty() ? with_document(question) : question});
    auto tokens = render(messages);
    if (!tokens) return tl::unexpected(tokens.error());
    if (auto fits = check_prompt_fits(tokens->size(), context_tokens_, engine_.info()); !fits) return fits;
    auto n_new = conversation_.sync(*tokens);
    if (!n_new) return tl::unexpected(n_new.error());
    auto generation = generate();
    if (!generation) return tl::unexpected(generation.error());
    terminal_.note(answer_note(*generation, *n_new));
    messages.push_back({"assistant", generation->plain_text});
    messages_ = std::move(messages);
    return {};
  }

  void clear() { messages_.clear(); }

  Result<void> save(const std::string& path) const {
    InputFiles inputs = {"-", flags_.chat_template.tools_file};
    inputs.add(flags_.files);
    inputs.add_model(flags_.model.path);
    inputs.add_presets(flags_.model.path);
    auto output = OutputFile::open(path, inputs);
    if (!output) return tl::unexpected(output.error());
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    for (const ChatMessage& message : messages_)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    return output->write(json_line({{"messages", std::move(messages)}}));
  }

 private:
  std::string with_document(const std::string& question) const {
    return document_.empty() ? question : document_ + "\n\n" + question;
  }

  Result<std::vector<int32_t>> render(std::vector<ChatMessage> messages) const {
    if (!flags_.system.empty()) messages.insert(messages.begin(), {"system", flags_.system});
    ChatRequest request = request_;
    request.messages = std::move(messages);
    return engine_.tokenize_chat(request);
  }

  Result<Generation> generate() {
    ProgressBar bar(terminal_, "prefill");
    auto generation = conversation_.generate(flags_.generate.options, watched(bar, interrupt_.token(), true));
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
  size_t context_tokens_;
  Interrupt& interrupt_;
  Terminal terminal_;
  std::vector<ChatMessage>
      messages_;  // without the system message; the document is part of the first question
};

// True: leave.
bool obey(const std::string& line, Chat& chat) {
  const std::vector<std::string> words = split(line, ' ');
  if (words[0] == "/quit" || words[0] == "/exit") return true;
  if (words[0] == "/clear") {
    chat.clear();
  } else if (words[0] == "/save" && words.size() > 1) {
    const std::string path = line.substr(words[0].size() + 1);
    if (auto saved = chat.save(path); !saved) report_failure(kCommand, saved.error());
  } else {
    if (words[0] != "/help") std::fprintf(stderr, "unknown: %s\n", quote(line).c_str());
    std::fprintf(stderr, "%s\n", kHelp);
  }
  return false;
}

// One failed question does not end a conversation at a terminal, but it does decide the exit code of a
// script.
int converse(Chat& chat, const TextFlags& flags, Interrupt& interrupt) {
  const bool at_terminal = is_terminal(Stream::kInput);
  bool is_first = true;
  int exit_code = kExitDone;
  while (true) {
    interrupt.end_program_at_once(true);
    if (at_terminal) std::fprintf(stderr, wants_colour(Stream::kError) ? "\033[1m>\033[0m " : "> ");
    std::string line;
    if (!std::getline(std::cin, line)) break;
    if (std::exchange(is_first, false)) drop_byte_order_mark(line);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (line.front() == '/') {
      if (obey(line, chat)) break;
      continue;
    }
    interrupt.end_program_at_once(false);
    interrupt.reset();
    auto question = checked_text(line, "the question", flags);
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
  auto session = loaded->executor.start_session({.context_tokens = *context, .lazy = lazy});
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
  values.generate.add_to(flags, 512);
  if (auto exit_code = flags.parse(args)) return *exit_code;
  return guarded(kCommand, [&] { return chat(values); });
}

}  // namespace lazyfill::cli
