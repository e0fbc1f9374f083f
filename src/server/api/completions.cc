// OpenAI's older Completions: a text goes on.
#include <algorithm>

#include "base/characters.h"
#include "server/api/common_fields.h"
#include "server/api/dialect.h"
#include "server/api/events.h"
#include "server/api/infill.h"
#include "server/api/openai_parts.h"
#include "server/api/report.h"
#include "server/api/response_format.h"

namespace lazyfill::server {
namespace {

ApiResult<void> read_prompt(const Engine& engine, const Json& prompt, AnswerRequest& request) {
  if (prompt.is_string()) {
    request.text = prompt.get<std::string>();
    return {};
  }
  if (prompt.is_array() && prompt.size() == 1 && !prompt[0].is_number())
    return read_prompt(engine, prompt[0], request);
  const bool are_ids =
      prompt.is_array() && !prompt.empty() &&
      std::all_of(prompt.begin(), prompt.end(), [](const Json& id) { return id.is_number_integer(); });
  if (!are_ids)
    return refuse("prompt must be a text or an array of token ids; send several prompts as several requests",
                  "prompt");
  const auto n_tokens = static_cast<int64_t>(engine.info().n_tokens);
  for (const Json& id : prompt) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(n_tokens);
    if (!fits)
      return refuse("prompt holds a token id that does not exist; this model has ids from 0 to " +
                        std::to_string(n_tokens - 1),
                    "prompt");
    request.tokens.push_back(id.get<int32_t>());
  }
  return {};
}

ApiResult<ReadRequest> read(const Engine& engine, const Json& body) {
  ReadRequest out;
  AnswerRequest& request = out.request;
  Fields fields(body);
  read_common_fields(fields, request);
  read_response_format(engine, fields, request);
  const int64_t n_top = fields.integer({"logprobs", "n_probs"}, -1, 0, kMaxTopLogprobs);
  request.with_logprobs = request.options.with_logprobs = n_top >= 0;
  request.options.n_top_logprobs = static_cast<size_t>(std::max<int64_t>(n_top, 0));
  request.echo = fields.flag({"echo"}, false);
  const std::string suffix = fields.text({"suffix"});
  InfillRequest infill;
  read_infill_form(fields, infill);
  if (const Json* options = fields.object({"stream_options"})) {
    Fields inner(*options, "stream_options.");
    request.with_usage = inner.flag({"include_usage"}, false);
    if (inner.error()) return tl::unexpected(*inner.error());
  }
  if (fields.error()) return tl::unexpected(*fields.error());
  if (!body.contains("prompt")) return refuse("prompt is missing", "prompt");
  if (auto prompt = read_prompt(engine, body["prompt"], request); !prompt)
    return tl::unexpected(prompt.error());
  if (suffix.empty()) return out;
  if (!request.text) return refuse("with a suffix the prompt must be a text", "suffix");
  infill.prefix = *request.text;
  infill.suffix = suffix;
  request.infill = std::move(infill);
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
    for (size_t i = 0; i < answered.choices.size(); ++i) {
      offsets_.push_back(0);
      stream_.data(chunk_of(i, request_.echo ? prompt_text() : ""));
    }
  }

  void progress(const Answered&, const PrefillProgress& progress) override {
    if (!request_.streams || !request_.with_progress) return;
    Json chunk = chunk_of(0, "");
    chunk["prompt_progress"] = progress_json(progress);
    stream_.data(chunk);
  }

  void part(const Answered&, size_t choice, const AnswerPart& part,
            const std::vector<TokenChoice>& logprobs) override {
    if (!request_.streams) return;
    Json chunk = chunk_of(choice, part.text);
    if (request_.with_logprobs) chunk["choices"][0]["logprobs"] = legacy_logprobs(logprobs, offsets_[choice]);
    stream_.data(chunk);
  }

  void end_choice(const Answered& answered, size_t choice) override {
    if (!request_.streams) return;
    Json chunk = chunk_of(choice, "");
    chunk["choices"][0]["finish_reason"] = finish_reason(answered.choices[choice]);
    if (answered.choices[choice].generation) add_report(chunk, *answered.choices[choice].generation);
    stream_.data(chunk);
  }

  void finish(const Answered& answered) override {
    if (!request_.streams) return stream_.reply().send(json_response(200, whole(answered)));
    if (request_.with_usage) {
      Json chunk = head(answered);
      chunk["choices"] = Json::array();
      chunk["usage"] = usage_json(answered);
      stream_.data(chunk);
    }
    stream_.done();
    stream_.end();
  }

  void fail(const ApiError& error) override { stream_.fail(error.status, openai_error(error)); }

  void keep_alive() override {
    if (stream_.has_begun()) stream_.data(chunk_of(0, ""));
  }

 private:
  Json head(const Answered& answered) const {
    return {{"id", "cmpl-" + answered.id},
            {"object", "text_completion"},
            {"created", answered.created_s},
            {"model", request_.model},
            {"system_fingerprint", engine_.info().fingerprint}};
  }

  Json chunk_of(size_t choice, const std::string& text) const {
    Json chunk = head(*answered_);
    chunk["choices"] = Json::array(
        {Json{{"text", text}, {"index", choice}, {"logprobs", nullptr}, {"finish_reason", nullptr}}});
    if (request_.with_usage) chunk["usage"] = nullptr;
    return chunk;
  }

  std::string prompt_text() const {
    return request_.text ? *request_.text : engine_.detokenize(request_.tokens, true);
  }

  // offset: where the text of these tokens begins in the answer's, in characters; moves on.
  Json legacy_logprobs(const std::vector<TokenChoice>& choices, size_t& offset) const {
    Json out = {{"text_offset", Json::array()},
                {"token_logprobs", Json::array()},
                {"tokens", Json::array()},
                {"top_logprobs", Json::array()}};
    for (const TokenChoice& choice : choices) {
      const std::string piece = engine_.piece(choice.chosen.id);
      out["text_offset"].push_back(offset);
      offset += count_characters(piece);
      out["token_logprobs"].push_back(choice.chosen.logprob);
      out["tokens"].push_back(piece);
      Json rivals = Json::object();
      for (const TokenLogprob& rival : choice.top) rivals[engine_.piece(rival.id)] = rival.logprob;
      out["top_logprobs"].push_back(std::move(rivals));
    }
    return out;
  }

  void add_report(Json& object, const Generation& generation) const {
    server::add_report(object, engine_, generation, request_.with_kept);
  }

  Json whole(const Answered& answered) const {
    Json body = head(answered);
    body["choices"] = Json::array();
    for (size_t i = 0; i < answered.choices.size(); ++i) {
      const Choice& choice = answered.choices[i];
      Json one = {{"text", (request_.echo ? prompt_text() : "") + choice.content},
                  {"index", i},
                  {"logprobs", nullptr},
                  {"finish_reason", finish_reason(choice)}};
      size_t offset = 0;
      if (request_.with_logprobs) one["logprobs"] = legacy_logprobs(choice.logprobs, offset);
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
  std::vector<size_t> offsets_;  // of each choice
};

std::unique_ptr<AnswerWriter> make_writer(const Engine& engine, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply) {
  return std::make_unique<Writer>(engine, request, std::move(reply));
}

}  // namespace

const Dialect kCompletions = {read, make_writer, openai_error};

}  // namespace lazyfill::server
