#include "server/answers.h"

#include <algorithm>
#include <new>
#include <utility>

#include "server/answering.h"
#include "server/api/chat_input.h"
#include "server/api/infill.h"
#include "server/api/tool_choice.h"

namespace lazyfill::server {
namespace {

constexpr size_t kSaidBytes = 32 << 20;

}  // namespace

Answers::Answers(const Engine& engine, Generator& generator, AnswersOptions options,
                 std::function<void(const AnswerRecord&)> on_answered)
    : engine_(engine),
      generator_(generator),
      options_(std::move(options)),
      on_answered_(std::move(on_answered)),
      dense_prefix_(engine),
      said_(engine, kSaidBytes),
      worker_([this] { work(); }) {}

Answers::~Answers() {
  {
    const std::scoped_lock lock(mutex_);
    quits_ = true;
  }
  wake_.notify_all();
  worker_.join();
}

ApiResult<std::vector<int32_t>> Answers::prompt_of(const ReadRequest& read) {
  const AnswerRequest& request = read.request;
  Result<std::vector<int32_t>> tokens = request.tokens;
  if (request.chat) {
    // Templates write BOS themselves where the model wants one.
    tokens = request.parse_special ? engine_.tokenize(read.rendered.text, false, true)
                                   : said_.tokenize(read.rendered);
  } else if (request.text && !request.infill) {
    tokens = engine_.tokenize(*request.text, true, request.parse_special);
  }
  if (!tokens) return tl::unexpected(api_error(tokens.error()));
  if (tokens->empty()) return refuse("the prompt is empty; give at least one token", "prompt");
  if (tokens->size() >= options_.n_ctx)
    return tl::unexpected(context_exceeded(tokens->size(), options_.n_ctx));
  return std::move(*tokens);
}

void Answers::answer(const Dialect& dialect, ReadRequest read, std::shared_ptr<Reply> reply, int priority) {
  AnswerRequest& asked = read.request;
  if (asked.model.empty()) asked.model = options_.model_name;
  auto writer = dialect.writer(engine_, asked, reply);
  const auto refuse_with = [&](const ApiError& error) {
    writer->fail(error);
    AnswerRecord record;
    record.id = random_id(24);
    record.status = error.status;
    record.error_code = error.code.empty() ? error.type : error.code;
    if (on_answered_) on_answered_(record);
  };
  if (asked.infill) {
    if (auto prepared = prepare_infill(engine_, asked, options_.n_ctx); !prepared)
      return refuse_with(prepared.error());
  }
  auto tokens = prompt_of(read);
  if (!tokens) return refuse_with(tokens.error());

  AnswerSyntax syntax;
  if (asked.splits_answer) {
    syntax = find_answer_syntax(engine_, read.rendered.text, asked.has_tools && !asked.tools_in_text);
    if (asked.tools_in_text) syntax.tools = ToolSyntax::kHermes;
    syntax.tools_json = asked.chat->tools_json;
    asked.options.show_special = true;  // marks of calls and thoughts may be control tokens
    if (auto guided = guide_calls(engine_, syntax, asked); !guided) return refuse_with(guided.error());
    if (asked.tool_rules.need == CallRules::Need::kNoCall) syntax.tools = ToolSyntax::kNone;
  }
  Request request;
  request.tokens = std::move(*tokens);
  request.options = asked.options;
  const size_t room = options_.n_ctx - request.tokens.size();
  request.options.max_tokens =
      std::min(room, asked.has_max_tokens ? asked.options.max_tokens : options_.default_max_tokens);
  request.lazy = asked.lazy;
  request.priority = priority;
  request.cache_prompt = asked.cache_prompt;
  request.cache_salt = asked.cache_salt;
  request.n_dense_tokens = dense_prefix_.n_tokens(asked, request.tokens);

  const size_t n_prompt_bytes = read.rendered.text.size();
  auto answering =
      std::make_shared<Answering>(engine_, generator_, std::move(asked), syntax, std::move(request),
                                  std::move(writer), std::move(reply), on_answered_);
  // Not on the generator's thread: to render a long conversation takes milliseconds. And before the client
  // hears of the end, for its next question may come at once.
  answering->on_complete = [this, n_prompt_bytes](std::shared_ptr<Answering> complete) {
    later([this, n_prompt_bytes, complete = std::move(complete)] {
      try {
        remember(complete->asked(), n_prompt_bytes, complete->first_choice());
      } catch (const std::bad_alloc&) {  // then the next turn computes a little more
      }
      complete->finish();
    });
  };
  {
    const std::scoped_lock lock(mutex_);
    active_.push_back(answering);
  }
  answering->start();
}

std::vector<RunningAnswer> Answers::running() const {
  std::vector<std::shared_ptr<Answering>> active;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& one : active_)
      if (auto answering = one.lock()) active.push_back(std::move(answering));
  }
  std::vector<RunningAnswer> running;
  for (const auto& answering : active)
    if (!answering->has_ended()) running.push_back(answering->running());
  return running;
}

void Answers::later(std::function<void()> task) {
  {
    const std::scoped_lock lock(mutex_);
    to_do_.push_back(std::move(task));
  }
  wake_.notify_all();
}

// The answer comes back as a part of the history, and its tokens are to be those that were computed.
void Answers::remember(const AnswerRequest& asked, size_t n_prompt_bytes, const Choice& choice) {
  const Generation& generation = *choice.generation;
  if (!asked.chat || !asked.cache_prompt || asked.parse_special) return;
  if (!generation.stop_text.empty()) return;  // then the tokens say more than the text
  ChatRequest chat = *asked.chat;
  Json messages = Json::parse(chat.messages_json);
  messages.push_back(message_of(choice, asked.tools_in_text));
  chat.messages_json = messages.dump(-1, ' ', false, Json::error_handler_t::replace);
  chat.add_generation_prompt = false;
  const auto said = engine_.render_chat(chat);
  if (!said) return;
  std::vector<int32_t> tokens = generation.prompt_token_ids;
  tokens.insert(tokens.end(), generation.token_ids.begin(), generation.token_ids.end());
  said_.remember(*said, n_prompt_bytes, std::move(tokens));
}

std::vector<std::shared_ptr<Answering>> Answers::take_active() {
  std::vector<std::shared_ptr<Answering>> active;
  for (auto one = active_.begin(); one != active_.end();) {
    auto answering = one->lock();
    const bool has_ended = !answering || answering->has_ended();
    if (!has_ended) active.push_back(std::move(answering));
    one = has_ended ? active_.erase(one) : std::next(one);
  }
  return active;
}

void Answers::work() {
  std::unique_lock lock(mutex_);
  // Often enough that a silence is noticed in good time.
  const auto interval = std::max(options_.keep_alive / 4, std::chrono::milliseconds(10));
  while (!quits_ || !to_do_.empty()) {
    wake_.wait_for(lock, interval, [&] { return quits_ || !to_do_.empty(); });
    auto tasks = std::exchange(to_do_, {});
    auto active = take_active();
    lock.unlock();
    for (const auto& task : tasks) task();
    for (const auto& answering : active) answering->keep_alive(options_.keep_alive);
    active.clear();
    tasks.clear();
    lock.lock();
  }
}

}  // namespace lazyfill::server
