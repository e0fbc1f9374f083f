// llama-server's /infill: what editors ask for the text at a cursor.
#include "server/api/infill.h"

#include <algorithm>

#include "server/api/common_fields.h"
#include "server/api/dialect.h"
#include "server/api/events.h"
#include "server/api/report.h"
#include "server/api/response_format.h"

namespace lazyfill::server {
namespace {

constexpr size_t kReserved = 128;  // of the context for an answer that may be as long as it likes
constexpr size_t kMaxFields = 64;
constexpr size_t kMaxFieldBytes = 256;

void read_files(Fields& fields, InfillRequest& infill) {
  const Json* files = fields.array({"input_extra"});
  if (files == nullptr) return;
  for (const Json& file : *files) {
    const bool is_file = file.is_object() && file.contains("text") && file["text"].is_string() &&
                         (!file.contains("filename") || file["filename"].is_string());
    if (!is_file)
      return fields.refuse("input_extra must be an array of objects with a filename and a text",
                           "input_extra");
    infill.files.push_back({file.value("filename", "file"), file["text"].get<std::string>()});
  }
}

ApiResult<ReadRequest> read(const Engine& engine, const Json& body) {
  ReadRequest out;
  AnswerRequest& request = out.request;
  Fields fields(body);
  read_common_fields(fields, request);
  read_response_format(engine, fields, request);
  InfillRequest infill;
  // An editor sends the lines before the cursor's as input_prefix, and its own up to the cursor as prompt.
  infill.prefix = fields.text({"input_prefix"}) + fields.text({"prompt"});
  infill.suffix = fields.text({"input_suffix"});
  read_files(fields, infill);
  read_infill_form(fields, infill);
  request.answer_fields = fields.texts({"response_fields"}, kMaxFields, kMaxFieldBytes);
  if (request.n_choices > 1) fields.refuse("n must be 1 here", "n");
  if (fields.error()) return tl::unexpected(*fields.error());
  request.infill = std::move(infill);
  return out;
}

class Writer : public AnswerWriter {
 public:
  Writer(const AnswerRequest& request, std::shared_ptr<Reply> reply)
      : request_(request), stream_(std::move(reply)) {}

  void begin(const Answered&) override {
    if (request_.streams) stream_.begin();
  }

  void part(const Answered&, size_t, const AnswerPart& part, const std::vector<TokenChoice>&) override {
    if (request_.streams && !part.text.empty())
      stream_.data({{"index", 0}, {"content", part.text}, {"tokens", Json::array()}, {"stop", false}});
  }

  void finish(const Answered& answered) override {
    if (!request_.streams) return stream_.reply().send(json_response(200, chosen(whole(answered))));
    Json last = whole(answered);
    last["content"] = "";
    stream_.data(chosen(last));
    stream_.end();
  }

  void fail(const ApiError& error) override { stream_.fail(error.status, openai_error(error)); }

  void keep_alive() override {
    if (stream_.has_begun()) stream_.comment();
  }

 private:
  Json whole(const Answered& answered) const {
    const Choice& choice = answered.choices.front();
    const Generation& generation = *choice.generation;
    const bool has_stopped = generation.finish_reason == FinishReason::kStop;
    const size_t n_cached = generation.prompt_token_ids.size() + generation.token_ids.size();
    Json timings = timings_json(generation);
    for (const std::string part : {"prompt", "predicted"}) {
      const double n = timings[part + "_n"].get<double>();
      timings[part + "_per_token_ms"] = n > 0 ? timings[part + "_ms"].get<double>() / n : 0;
    }
    return {{"index", 0},
            {"content", choice.content},
            {"tokens", Json::array()},
            {"id_slot", 0},
            {"stop", true},
            {"model", request_.model},
            {"tokens_predicted", generation.token_ids.size()},
            {"tokens_evaluated", generation.prompt_token_ids.size()},
            {"has_new_line", choice.content.find('\n') != std::string::npos},
            {"truncated", false},
            {"stop_type", !has_stopped ? "limit" : (generation.stop_text.empty() ? "eos" : "word")},
            {"stopping_word", generation.stop_text},
            {"tokens_cached", n_cached},
            {"timings", std::move(timings)}};
  }

  // Of the answer's fields those that response_fields names, under the names that it has there: "a/b" is b
  // of a.
  Json chosen(const Json& answer) const {
    if (request_.answer_fields.empty()) return answer;
    Json out = Json::object();
    for (const std::string& path : request_.answer_fields) {
      const Json* value = &answer;
      for (size_t at = 0; value != nullptr && at <= path.size();) {
        const size_t slash = std::min(path.find('/', at), path.size());
        const std::string key = path.substr(at, slash - at);
        value = value->is_object() && value->contains(key) ? &(*value)[key] : nullptr;
        at = slash + 1;
      }
      if (value != nullptr) out[path] = *value;
    }
    return out;
  }

  const AnswerRequest request_;
  EventStream stream_;
};

std::unique_ptr<AnswerWriter> make_writer(const Engine&, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply) {
  return std::make_unique<Writer>(request, std::move(reply));
}

}  // namespace

void read_infill_form(Fields& fields, InfillRequest& infill) {
  infill.how_to_wish = "\"fim\": \"constrained\" in the request";
  const std::string form = fields.text({"fim"}, "native");
  if (form != "native" && form != "constrained")
    return fields.refuse("fim must be native or constrained", "fim");
  infill.form = form == "native" ? InfillForm::kNative : InfillForm::kConstrained;
}

ApiResult<void> prepare_infill(const Engine& engine, AnswerRequest& request, size_t n_ctx) {
  const size_t n_answer =
      std::min(request.has_max_tokens ? request.options.max_tokens : kReserved, n_ctx / 2);
  auto made = make_infill_prompt(engine, *request.infill, n_ctx - n_answer);
  if (!made) return tl::unexpected(api_error(made.error()));
  if (made->guide.kind != GuideKind::kNone) {
    if (request.options.guide.kind != GuideKind::kNone)
      return refuse("fim constrained is a guide itself; leave the other one out", "fim");
    request.options.guide = std::move(made->guide);
  }
  request.tokens = std::move(made->tokens);
  request.options.max_tokens += made->n_bound_tokens;
  return {};
}

const Dialect kInfill = {read, make_writer, openai_error};

}  // namespace lazyfill::server
