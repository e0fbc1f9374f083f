// Anthropic's Messages: what is answered.
#include "server/api/common_fields.h"
#include "server/api/dialect.h"
#include "server/api/events.h"
#include "server/api/report.h"
#include "server/api/response_format.h"

namespace lazyfill::server {
namespace {

ApiResult<ReadRequest> read(const Engine& engine, const Json& body) {
  Fields fields(body);
  AnswerRequest common;
  read_common_fields(fields, common);
  read_output_format(engine, fields, common);
  if (!common.has_max_tokens) fields.refuse("max_tokens is missing", "max_tokens");
  if (fields.error()) return tl::unexpected(*fields.error());
  auto out = read_messages_prompt(engine, body);
  if (!out) return out;
  common.n_choices = 1;
  common.chat = std::move(out->request.chat);
  common.n_dense_messages = out->request.n_dense_messages;
  common.splits_answer = true;
  common.has_tools = out->request.has_tools;
  common.tool_rules = std::move(out->request.tool_rules);
  common.tools_in_text = out->request.tools_in_text;
  out->request = std::move(common);
  return out;
}

const char* stop_reason(const Choice& choice) {
  if (choice.generation && choice.generation->finish_reason == FinishReason::kLength) return "max_tokens";
  if (choice.calls_tools()) return "tool_use";
  return choice.generation && !choice.generation->stop_text.empty() ? "stop_sequence" : "end_turn";
}

Json stop_sequence(const Choice& choice) {
  const bool is_stop = std::string_view(stop_reason(choice)) == "stop_sequence";
  return is_stop ? Json(choice.generation->stop_text) : Json(nullptr);
}

// What was cached is not part of input_tokens here.
Json usage_json(const Answered& answered, size_t n_output) {
  return {{"input_tokens", answered.n_prompt_tokens - answered.n_cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", answered.n_cached_tokens},
          {"output_tokens", n_output}};
}

// Nobody checks these thoughts again, but clients want something there.
constexpr char kSignature[] = "lazyfill";

Json input_of(const ToolCall& call) {
  Json input = Json::parse(call.arguments, nullptr, false);
  return input.is_object() ? input : Json::object();
}

class Writer : public AnswerWriter {
 public:
  Writer(const Engine& engine, const AnswerRequest& request, std::shared_ptr<Reply> reply)
      : engine_(engine), request_(request), stream_(std::move(reply)) {}

  void begin(const Answered&) override {
    if (!request_.streams) return;
    stream_.begin();
    ping();
  }

  // Only now it is known how many tokens are cached, and they stand in the first event.
  void start(const Answered& answered) override {
    if (!request_.streams) return;
    Json message = head(answered);
    message["content"] = Json::array();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = usage_json(answered, 0);
    event("message_start", {{"message", std::move(message)}});
  }

  void progress(const Answered&, const PrefillProgress& progress) override {
    if (request_.streams && request_.with_progress)
      event("ping", {{"prompt_progress", progress_json(progress)}});
  }

  void part(const Answered& answered, size_t choice, const AnswerPart& part,
            const std::vector<TokenChoice>&) override {
    if (!request_.streams) return;
    using Kind = AnswerPart::Kind;
    if (part.kind == Kind::kToolCall) {
      close();
      const ToolCall& call = answered.choices[choice].calls[part.call];
      open(Kind::kToolCall,
           {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
      return;
    }
    if (part.kind == Kind::kToolArguments)
      return delta({{"type", "input_json_delta"}, {"partial_json", part.text}});
    if (open_ != part.kind) {
      close();
      if (part.kind == Kind::kContent) {
        open(part.kind, {{"type", "text"}, {"text", ""}});
      } else {
        open(part.kind, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      }
    }
    if (part.kind == Kind::kContent) return delta({{"type", "text_delta"}, {"text", part.text}});
    delta({{"type", "thinking_delta"}, {"thinking", part.text}});
  }

  void finish(const Answered& answered) override {
    if (!request_.streams) return stream_.reply().send(json_response(200, whole(answered)));
    close();
    const Choice& choice = answered.choices.front();
    Json last = {{"delta", {{"stop_reason", stop_reason(choice)}, {"stop_sequence", stop_sequence(choice)}}},
                 {"usage", usage_json(answered, choice.n_tokens)}};
    if (choice.generation) add_report(last, *choice.generation);
    event("message_delta", std::move(last));
    event("message_stop", Json::object());
    stream_.end();
  }

  void fail(const ApiError& error) override {
    if (!stream_.has_begun())
      return stream_.reply().send(json_response(error.status, anthropic_error(error)));
    stream_.event("error", anthropic_error(error));
    stream_.end();
  }

  void keep_alive() override {
    if (stream_.has_begun()) ping();
  }

 private:
  void event(const char* name, Json value) {
    Json typed = {{"type", name}};
    typed.update(value);
    stream_.event(name, typed);
  }

  void ping() { event("ping", Json::object()); }
  void delta(Json value) { event("content_block_delta", {{"index", index_}, {"delta", std::move(value)}}); }

  void open(AnswerPart::Kind kind, Json block) {
    open_ = kind;
    event("content_block_start", {{"index", index_}, {"content_block", std::move(block)}});
  }

  void close() {
    if (!open_) return;
    if (open_ == AnswerPart::Kind::kReasoning)
      delta({{"type", "signature_delta"}, {"signature", kSignature}});
    event("content_block_stop", {{"index", index_++}});
    open_.reset();
  }

  Json head(const Answered& answered) const {
    return {
        {"id", "msg_" + answered.id}, {"type", "message"}, {"role", "assistant"}, {"model", request_.model}};
  }

  void add_report(Json& object, const Generation& generation) const {
    server::add_report(object, engine_, generation, request_.with_kept);
  }

  Json whole(const Answered& answered) const {
    const Choice& choice = answered.choices.front();
    Json content = Json::array();
    if (!choice.reasoning.empty())
      content.push_back({{"type", "thinking"}, {"thinking", choice.reasoning}, {"signature", kSignature}});
    if (!choice.content.empty()) content.push_back({{"type", "text"}, {"text", choice.content}});
    for (const ToolCall& call : choice.calls) {
      content.push_back(
          {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", input_of(call)}});
    }
    Json body = head(answered);
    body["content"] = std::move(content);
    body["stop_reason"] = stop_reason(choice);
    body["stop_sequence"] = stop_sequence(choice);
    body["usage"] = usage_json(answered, choice.n_tokens);
    if (choice.generation) add_report(body, *choice.generation);
    return body;
  }

  const Engine& engine_;
  const AnswerRequest request_;
  EventStream stream_;
  size_t index_ = 0;                      // of the open block, or the next one
  std::optional<AnswerPart::Kind> open_;  // what it holds; a call with its arguments is kToolCall
};

std::unique_ptr<AnswerWriter> make_writer(const Engine& engine, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply) {
  return std::make_unique<Writer>(engine, request, std::move(reply));
}

}  // namespace

const Dialect kMessages = {read, make_writer, anthropic_error};

}  // namespace lazyfill::server
