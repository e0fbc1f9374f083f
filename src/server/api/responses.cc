// OpenAI's Responses: what is answered, as items, each with its events.
#include "server/api/responses.h"

#include "server/api/events.h"
#include "server/api/openai_parts.h"
#include "server/api/report.h"

namespace lazyfill::server {
namespace {

Json usage(const Answered& answered) {
  const size_t n_output = answered.n_completion_tokens();
  return {{"input_tokens", answered.n_prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", answered.n_cached_tokens}, {"cache_write_tokens", 0}}},
          {"output_tokens", n_output},
          {"output_tokens_details", {{"reasoning_tokens", answered.n_reasoning_tokens()}}},
          {"total_tokens", answered.n_prompt_tokens + n_output}};
}

// An item of the output that is being written, or is finished.
struct Item {
  AnswerPart::Kind kind = AnswerPart::Kind::kContent;  // a call with its arguments: kToolCall
  std::string id;
  std::string text;   // content, reasoning or arguments
  ToolCall call;      // its id and name
  std::string space;  // the namespace of its function; empty: none
  Json logprobs = Json::array();

  bool is_call() const { return kind == AnswerPart::Kind::kToolCall; }
  bool is_reasoning() const { return kind == AnswerPart::Kind::kReasoning; }

  Json part(bool is_done) const {
    const std::string& so_far = is_done ? text : std::string();
    if (is_reasoning()) return {{"type", "reasoning_text"}, {"text", so_far}};
    return {{"type", "output_text"},
            {"text", so_far},
            {"annotations", Json::array()},
            {"logprobs", is_done ? logprobs : Json::array()}};
  }

  Json json(bool is_done, bool is_cut = false) const {
    const char* status = is_cut ? "incomplete" : is_done ? "completed" : "in_progress";
    if (is_call()) {
      Json out = {{"type", "function_call"}, {"id", id},
                  {"status", status},        {"call_id", call.id},
                  {"name", call.name},       {"arguments", is_done ? text : std::string()}};
      if (!space.empty()) out["namespace"] = space;
      return out;
    }
    Json content = is_done ? Json::array({part(true)}) : Json::array();
    if (is_reasoning()) {
      return {{"type", "reasoning"},
              {"id", id},
              {"status", status},
              {"summary", Json::array()},
              {"content", std::move(content)},
              {"encrypted_content", nullptr}};
    }
    return {{"type", "message"},
            {"id", id},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }
};

// Of the codes that a failed response may have. Codex makes its conversation shorter by the first.
const char* failure_code(const ApiError& error) {
  if (error.code == "context_length_exceeded") return "context_length_exceeded";
  return error.status == 429 ? "rate_limit_exceeded" : "server_error";
}

class Writer : public AnswerWriter {
 public:
  Writer(const Engine& engine, const AnswerRequest& request, std::shared_ptr<Reply> reply)
      : engine_(engine), request_(request), stream_(std::move(reply)) {}

  void begin(const Answered& answered) override {
    answered_ = &answered;
    if (!request_.streams) return;
    stream_.begin();
    event("response.created", {{"response", response("in_progress")}});
    event("response.in_progress", {{"response", response("in_progress")}});
  }

  void progress(const Answered&, const PrefillProgress& progress) override {
    if (!request_.streams || !request_.with_progress) return;
    event("response.in_progress",
          {{"response", response("in_progress")}, {"prompt_progress", progress_json(progress)}});
  }

  void part(const Answered& answered, size_t choice, const AnswerPart& part,
            const std::vector<TokenChoice>& logprobs) override {
    using Kind = AnswerPart::Kind;
    const bool goes_on =
        !items_.empty() && is_open_ &&
        (part.kind == Kind::kToolArguments ? items_.back().is_call() : items_.back().kind == part.kind) &&
        part.kind != Kind::kToolCall;
    if (!goes_on) {
      close(false);
      open(part.kind, part.kind == Kind::kToolCall ? answered.choices[choice].calls[part.call] : ToolCall{});
    }
    if (part.kind == Kind::kToolCall) return;
    Item& item = items_.back();
    item.text += part.text;
    const Json probabilities =
        logprobs_json(engine_, request_.with_logprobs ? logprobs : std::vector<TokenChoice>());
    for (const Json& one : probabilities) item.logprobs.push_back(one);
    if (!request_.streams) return;
    Json delta = {{"item_id", item.id}, {"output_index", items_.size() - 1}};
    if (!item.is_call()) delta["content_index"] = 0;
    delta["delta"] = part.text;
    if (item.kind == Kind::kContent) delta["logprobs"] = probabilities;
    event(item.is_call()        ? "response.function_call_arguments.delta"
          : item.is_reasoning() ? "response.reasoning_text.delta"
                                : "response.output_text.delta",
          std::move(delta));
  }

  void finish(const Answered& answered) override {
    const Choice& choice = answered.choices.front();
    const bool is_cut = choice.generation && choice.generation->finish_reason == FinishReason::kLength;
    if (items_.empty()) open(AnswerPart::Kind::kContent, {});  // an answer of nothing is a message of nothing
    close(is_cut);
    is_cut_ = is_cut;
    Json whole = response(is_cut ? "incomplete" : "completed");
    if (!request_.streams) return stream_.reply().send(json_response(200, whole));
    event(is_cut ? "response.incomplete" : "response.completed", {{"response", std::move(whole)}});
    stream_.done();
    stream_.end();
  }

  void fail(const ApiError& error) override {
    if (!stream_.has_begun()) return stream_.reply().send(json_response(error.status, openai_error(error)));
    error_ = {{"code", failure_code(error)}, {"message", error.message}};
    event("response.failed", {{"response", response("failed")}});
    stream_.end();
  }

  void keep_alive() override {
    if (stream_.has_begun()) event("response.in_progress", {{"response", response("in_progress")}});
  }

 private:
  void event(const char* name, Json value) {
    if (!request_.streams) return;
    Json numbered = {{"type", name}, {"sequence_number", n_events_++}};
    numbered.update(value);
    stream_.event(name, numbered);
  }

  void open(AnswerPart::Kind kind, ToolCall call) {
    using Kind = AnswerPart::Kind;
    Item& item = items_.emplace_back();
    item.kind = kind == Kind::kToolArguments ? Kind::kToolCall : kind;
    item.call = std::move(call);
    if (const auto own = request_.namespaces.find(item.call.name); own != request_.namespaces.end()) {
      item.space = (*own)["namespace"].get<std::string>();
      item.call.name = (*own)["name"].get<std::string>();
    }
    const char* word = item.is_call() ? "fc_" : item.is_reasoning() ? "rs_" : "msg_";
    item.id = word + answered_->id + "_" + std::to_string(items_.size() - 1);
    is_open_ = true;
    event("response.output_item.added", {{"output_index", items_.size() - 1}, {"item", item.json(false)}});
    if (item.is_call()) return;
    event("response.content_part.added", {{"item_id", item.id},
                                          {"output_index", items_.size() - 1},
                                          {"content_index", 0},
                                          {"part", item.part(false)}});
  }

  // is_cut: the answer ended in the middle of it.
  void close(bool is_cut) {
    if (!is_open_) return;
    is_open_ = false;
    const Item& item = items_.back();
    Json done = {{"item_id", item.id}, {"output_index", items_.size() - 1}};
    if (item.is_call()) {
      done["name"] = item.call.name;
      done["arguments"] = item.text;
      event("response.function_call_arguments.done", std::move(done));
    } else {
      done["content_index"] = 0;
      Json part = done;
      done["text"] = item.text;
      if (!item.is_reasoning()) done["logprobs"] = item.logprobs;
      event(item.is_reasoning() ? "response.reasoning_text.done" : "response.output_text.done",
            std::move(done));
      part["part"] = item.part(true);
      event("response.content_part.done", std::move(part));
    }
    event("response.output_item.done",
          {{"output_index", items_.size() - 1}, {"item", item.json(true, is_cut)}});
  }

  Json response(const std::string& status) const {
    Json output = Json::array();
    const bool is_done = status == "completed" || status == "incomplete";
    if (is_done) {
      for (size_t i = 0; i < items_.size(); ++i)
        output.push_back(items_[i].json(true, is_cut_ && i + 1 == items_.size()));
    }
    Json body = {{"id", "resp_" + answered_->id},
                 {"object", "response"},
                 {"created_at", answered_->created_s},
                 {"completed_at", status == "completed" ? Json(answered_->ended_s) : Json(nullptr)},
                 {"status", status},
                 {"error", error_},
                 {"incomplete_details",
                  status == "incomplete" ? Json{{"reason", "max_output_tokens"}} : Json(nullptr)},
                 {"model", request_.model},
                 {"output", std::move(output)},
                 {"usage", is_done ? usage(*answered_) : Json(nullptr)}};
    body.update(request_.echoed);
    if (is_done && answered_->choices.front().generation) {
      const Generation& generation = *answered_->choices.front().generation;
      add_report(body, engine_, generation, request_.with_kept);
    }
    return body;
  }

  const Engine& engine_;
  const AnswerRequest request_;
  EventStream stream_;
  const Answered* answered_ = nullptr;
  std::vector<Item> items_;
  bool is_open_ = false;  // the last of them
  bool is_cut_ = false;
  size_t n_events_ = 0;
  Json error_ = nullptr;
};

std::unique_ptr<AnswerWriter> make_writer(const Engine& engine, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply) {
  return std::make_unique<Writer>(engine, request, std::move(reply));
}

}  // namespace

const Dialect kResponses = {read_responses, make_writer, openai_error};

}  // namespace lazyfill::server
