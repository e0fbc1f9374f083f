#include "server/openapi.h"

#include <array>
#include <string_view>

#include "server/openapi_schemas.h"
#include "server/routes.h"

namespace lazyfill::server {
namespace {

struct Operation {
  std::string_view method;
  std::string_view path;
  const char* summary;
  const char* request = nullptr;  // schemas; null: no body
  const char* answer = nullptr;   // null: text
  bool streams = false;           // with "stream": true it answers with events
  const char* text_type = "text/plain";
};

constexpr std::array kOperations = {
    Operation{"POST", "/v1/chat/completions", "Answers a conversation, in OpenAI's form.", "ChatRequest",
              "ChatCompletion", true},
    Operation{"POST", "/v1/completions", "Goes on with a text, in OpenAI's older form.", "CompletionRequest",
              "Completion", true},
    Operation{"POST", "/v1/responses", "Answers in the form of OpenAI's Responses; nothing is kept.",
              "ResponsesRequest", "Response", true},
    Operation{"POST", "/v1/responses/input_tokens", "Counts the tokens of such a request.",
              "ResponsesRequest", "ResponseInputTokens"},
    Operation{"POST", "/v1/messages", "Answers a conversation, in Anthropic's form.", "MessagesRequest",
              "Message", true},
    Operation{"POST", "/v1/messages/count_tokens", "Counts the tokens of such a request.",
              "CountTokensRequest", "InputTokens"},
    Operation{"GET", "/v1/models", "The model, in a list.", nullptr, "Models"},
    Operation{"GET", "/v1/models/{model}", "The model, by its name.", nullptr, "Model"},
    Operation{"POST", "/infill", "Fills in the middle of a text, in llama-server's form.", "InfillRequest",
              "Infill", true},
    Operation{"POST", "/tokenize", "The token ids of a text.", "TokenizeRequest", "Tokens"},
    Operation{"POST", "/detokenize", "The text of token ids.", "DetokenizeRequest", "Text"},
    Operation{"POST", "/apply-template", "The prompt that the chat template makes of a conversation.",
              "ChatRequest", "Prompt"},
    Operation{"GET", "/props", "What the server was started with.", nullptr, "Props"},
    Operation{"GET", "/slots", "The answers that are being computed.", nullptr, "Slots"},
    Operation{"GET", "/health", "Whether the model is loaded; needs no key.", nullptr, "Health"},
    Operation{"GET", "/v1/health", "The same.", nullptr, "Health"},
    Operation{"GET", "/metrics", "Counters and histograms for Prometheus."},
    Operation{"GET", "/openapi.json", "This document.", nullptr, "Document"},
    Operation{"GET", "/", "The page for browsers.", nullptr, nullptr, false, "text/html"},
    Operation{"GET", "/page/{file}", "What the page loads.", nullptr, nullptr, false, "text/javascript"},
};

const Operation* find_operation(const Route& route) {
  for (const Operation& operation : kOperations)
    if (operation.method == route.method && operation.path == route.path) return &operation;
  return nullptr;
}

Json reference(const char* schema) {
  return {{"$ref", std::string("#/components/schemas/") + schema}};
}

Json content(const char* type, Json schema) {
  return {{type, {{"schema", std::move(schema)}}}};
}

// An event of a stream; where its data has a type, its name stands before it.
Json event_schema(const Operation& operation) {
  const std::string_view path = operation.path;
  const bool is_named = path == "/v1/responses" || path == "/v1/messages";
  Json schema = {{"type", "object"},
                 {"required", Json::array({"data"})},
                 {"properties", {{"data", {{"type", "string"}}}, {"event", {{"type", "string"}}}}}};
  if (is_named) schema["required"].push_back("event");
  return schema;
}

Json answer_of(const Operation& operation) {
  Json types = operation.answer == nullptr ? content(operation.text_type, {{"type", "string"}})
                                           : content("application/json", reference(operation.answer));
  if (operation.streams) types.update(content("text/event-stream", event_schema(operation)));
  return {{"description", "The answer."}, {"content", std::move(types)}};
}

// Every path has those that concern all requests, whatever its handler says.
Json responses_of(const Route& route, const Operation& operation) {
  Json responses = {{"200", answer_of(operation)}};
  const auto refused = [&](const char* status, const char* description) {
    const char* schema = route.is_anthropic ? "AnthropicError" : "Error";
    responses[status] = {{"description", description},
                         {"content", content("application/json", reference(schema))}};
  };
  refused("400", "The request is wrong; the message says where.");
  refused("403", "It comes from a page or by a name that is not let in.");
  if (route.needs_key) refused("401", "The API key is missing or wrong.");
  if (route.path.ends_with('}')) refused("404", "There is no such thing.");
  if (operation.request != nullptr) {
    refused("408", "The body did not come in time.");
    refused("411", "The body's length is not told.");
    refused("413", "The body is too large.");
    refused("429", "Too many requests wait.");
  }
  if (route.path.ends_with("/health")) {
    responses["503"] = {{"description", "The model is still loading."},
                        {"content", content("application/json", reference("Health"))}};
  } else {
    refused("503", "The model is still loading, the memory is full, or the server ends.");
  }
  return responses;
}

Json operation_json(const Route& route, const Operation& operation) {
  Json out = {{"summary", operation.summary}, {"responses", responses_of(route, operation)}};
  if (operation.request != nullptr) {
    out["requestBody"] = {{"required", true},
                          {"content", content("application/json", reference(operation.request))}};
  }
  const size_t brace = route.path.find('{');
  if (brace != std::string_view::npos) {
    const std::string name(route.path.substr(brace + 1, route.path.size() - brace - 2));
    out["parameters"] = Json::array({Json{{"name", name},
                                          {"in", "path"},
                                          {"required", true},
                                          {"schema", {{"type", "string"}, {"minLength", 1}}}}});
  }
  if (!route.needs_key) out["security"] = Json::array();
  return out;
}

}  // namespace

Json openapi_document(const std::string& version) {
  Json paths = Json::object();
  for (const Route& route : route_table()) {
    const Operation* operation = find_operation(route);
    if (operation == nullptr) continue;  // the test of this file finds it
    std::string method(route.method);
    for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
    paths[std::string(route.path)][method] = operation_json(route, *operation);
  }
  const Json schemes = {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
                        {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-Api-Key"}}}};
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "lazyfill"},
            {"version", version},
            {"description", "One model, for clients of OpenAI's and Anthropic's APIs."}}},
          {"security",
           Json::array({Json::object(), Json{{"bearer", Json::array()}}, Json{{"key", Json::array()}}})},
          {"paths", std::move(paths)},
          {"components", {{"securitySchemes", schemes}, {"schemas", openapi_schemas()}}}};
}

}  // namespace lazyfill::server
