// OpenAI's Chat Completions.
#include "server/api/chat_input.h"
#include "server/api/common_fields.h"
#include "server/api/dialect.h"
#include "server/api/events.h"
#include "server/api/openai_parts.h"
#include "server/api/report.h"
#include "server/api/response_format.h"
#include "server/api/tool_choice.h"

namespace lazyfill::server {
namespace {

void read_logprobs(Fields& fields, AnswerRequest& request) {
  request.with_logprobs = fields.flag({"logprobs"}, false);
  const int64_t n_top = fields.integer({"top_logprobs"}, 0, 0, kMaxTopLogprobs);
  if (n_top > 0 && !request.with_logprobs)
    fields.refuse("top_logprobs needs \"logprobs\": true", "top_logprobs");
  request.options.with_logprobs = request.with_logprobs;
  request.options.n_top_logprobs = static_cast<size_t>(n_top);
}

ApiResult<ReadRequest> read(const Engine& engine, const Json& body) {
  ReadRequest out;
  AnswerRequest& request = out.request;
  Fields fields(body);
  read_common_fields(fields, request);
  read_logprobs(fields, request);
  read_response_format(engine, fields, request);
  if (const Json* options = fields.object({"stream_options"})) {
    Fields inner(*options, "stream_options.");
    request.with_usage = inner.flag({"include_usage"}, false);
    if (inner.error()) return tl::unexpected(*inner.error());
  }
  std::string variables = template_variables(fields);
  const Json* tools = fields.array({"tools"});
  if (fields.error()) return tl::unexpected(*fields.error());
  if (!body.contains("messages")) return refuse("messages is missing", "messages");
  auto messages = normalised_messages(body["messages"]);
  if (!messages) return tl::unexpected(messages.error());
  auto known = normalised_tools(tools != nullptr ? *tools : Json(nullptr));
  if (!known) return tl::unexpected(known.error());
  const bool has_one_call = !fields.flag({"parallel_tool_calls"}, true);
  auto rules = tool_rules(*known, tools, fields.any({"tool_choice"}), has_one_call);
  if (!rules) return tl::unexpected(rules.error());
  request.tool_rules = std::move(*rules);
  // An answer that is begun already is gone on with where the client says so, as vLLM does it.
  const bool add_prompt = fields.flag({"add_generation_prompt"}, true);
  if (fields.error()) return tl::unexpected(*fields.error());
  auto rendered = fit_chat(engine, std::move(*messages), *known, std::move(variables), add_prompt, request);
  if (!rendered) return tl::unexpected(rendered.error());
  out.rendered = std::move(*rendered);
  return out;
}

class Writer : public AnswerWriter {
 public:
  Writer(const Engine& engine, const AnswerRequest& request, std::shared_ptr<Reply> reply)
      : engine_(engine), request_(request), stream_(std::move(reply)) {}

  void begin(const Answered& answered) override {
    answered_ = &answered;
    if (!request_.streams) return;
    stream_.begin();
    for (size_t i = 0; i < answered.choices.size(); ++i) send(i, {{"role", "assistant"}, {"content", ""}});
  }

  void progress(const Answered&, const PrefillProgress& progress) override {
    if (!request_.streams || !request_.with_progress) return;
    Json chunk = chunk_of(0, Json::object());
    chunk["prompt_progress"] = progress_json(progress);
    stream_.data(chunk);
  }

  void part(const Answered& answered, size_t choice, const AnswerPart& part,
            const std::vector<TokenChoice>& logprobs) override {
    if (!request_.streams) return;
    Json chunk = chunk_of(choice, delta_of(answered, choice, part));
    if (request_.with_logprobs) {
      chunk["choices"][0]["logprobs"] = {{"content", logprobs_json(engine_, logprobs)}, {"refusal", nullptr}};
    }
    stream_.data(chunk);
  }

  void end_choice(const Answered& answered, size_t choice) override {
    if (!request_.streams) return;
    const Choice& ended = answered.choices[choice];
    Json chunk = chunk_of(choice, Json::object());
    chunk["choices"][0]["finish_reason"] = finish_reason(ended);
    if (ended.generation) add_report(chunk, *ended.generation);
    stream_.data(chunk);
  }

  void finish(const Answered& answered) override {
    if (!request_.streams) return stream_.reply().send(json_response(200, whole(answered)));
    if (request_.with_usage) {
      Json chunk = head(answered, "chat.completion.chunk");
      chunk["choices"] = Json::array();
      chunk["usage"] = usage_json(answered);
      stream_.data(chunk);
    }
    stream_.done();
    stream_.end();
  }

  void fail(const ApiError& error) override { stream_.fail(error.status, openai_error(error)); }

  void keep_alive() override {
    if (stream_.has_begun()) send(0, Json::object());
  }

 private:
  Json head(const Answered& answered, const char* object) const {
    return {{"id", "chatcmpl-" + answered.id},
            {"object", object},
            {"created", answered.created_s},
            {"model", request_.model},
            {"system_fingerprint", engine_.info().fingerprint}};
  }

  Json chunk_of(size_t choice, Json delta) const {
    Json chunk = head(*answered_, "chat.completion.chunk");
    chunk["choices"] = Json::array({Json{
        {"index", choice}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}}});
    if (request_.with_usage) chunk["usage"] = nullptr;
    return chunk;
  }

  void send(size_t choice, Json delta) { stream_.data(chunk_of(choice, std::move(delta))); }

  static Json delta_of(const Answered& answered, size_t choice, const AnswerPart& part) {
    switch (part.kind) {
      case AnswerPart::Kind::kContent:
        return {{"content", part.text}};
      case AnswerPart::Kind::kReasoning:
        return {{"reasoning_content", part.text}};
      case AnswerPart::Kind::kToolCall: {
        Json call = tool_call_json({answered.choices[choice].calls[part.call].id, part.text, ""});
        Json indexed = {{"index", part.call}};
        indexed.update(call);
        return {{"tool_calls", Json::array({std::move(indexed)})}};
      }
      case AnswerPart::Kind::kToolArguments:
        return {{"tool_calls",
                 Json::array({Json{{"index", part.call}, {"function", {{"arguments", part.text}}}}})}};
    }
    return Json::object();
  }

  void add_report(Json& object, const Generation& generation) const {
    server::add_report(object, engine_, generation, request_.with_kept);
  }

  Json whole(const Answered& answered) const {
    Json body = head(answered, "chat.completion");
    body["choices"] = Json::array();
    for (size_t i = 0; i < answered.choices.size(); ++i) {
      const Choice& choice = answered.choices[i];
      const bool only_calls = choice.content.empty() && choice.calls_tools();
      Json message = {{"role", "assistant"},
                      {"content", only_calls ? Json(nullptr) : Json(choice.content)},
                      {"refusal", nullptr}};
      if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
      for (const ToolCall& call : choice.calls) message["tool_calls"].push_back(tool_call_json(call));
      Json one = {{"index", i}, {"message", std::move(message)}, {"logprobs", nullptr}};
      if (request_.with_logprobs)
        one["logprobs"] = {{"content", logprobs_json(engine_, choice.logprobs)}, {"refusal", nullptr}};
      one["finish_reason"] = finish_reason(choice);
      body["choices"].push_back(std::move(one));
    }
    body["usage"] = usage_json(answered);
    if (answered.choices.front().generation) add_report(body, *answered.choices.front().generation);
    return body;
  }

  const Engine& engine_;
  const AnswerRequest request_;
  EventStream stream_;
  const Answered* answered_ = nullptr;
};

std::unique_ptr<AnswerWriter> make_writer(const Engine& engine, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply) {
  return std::make_unique<Writer>(engine, request, std::move(reply));
}

}  // namespace

const Dialect kChatCompletions = {read, make_writer, openai_error};

}  // namespace lazyfill::server
