#include "server/openapi_schemas.h"

#include "server/api/common_fields.h"

namespace lazyfill::server {
namespace {

// What requests of all APIs may hold. A member that is null counts as not given.
constexpr char kCommon[] = R"json({
  "model": {"type": ["string", "null"], "description": "Any name: there is one model."},
  "stream": {"type": ["boolean", "null"], "description": "Answer with server-sent events."},
  "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
  "top_k": {"type": ["integer", "null"], "minimum": -1, "maximum": 16777216},
  "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
  "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
  "seed": {"type": ["integer", "null"], "minimum": -9223372036854775808, "maximum": 9223372036854775807},
  "repeat_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 10},
  "repeat_last_n": {"type": ["integer", "null"], "minimum": -1, "maximum": 16777216},
  "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
  "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
  "logit_bias": {"type": ["object", "null"], "maxProperties": 4096,
                 "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
                 "description": "Token id -> what is added to its logit; -100 forbids it."},
  "ignore_eos": {"type": ["boolean", "null"]},
  "lazy": {"description": "How many tokens of the prompt are computed to the end.",
           "anyOf": [{"type": "null"},
                     {"type": "string", "description": "off, auto, fast, or a schedule such as 9:0.5"},
                     {"type": "boolean"},
                     {"type": "integer", "minimum": 1, "maximum": 16777216, "description": "tokens kept"},
                     {"type": "object", "properties": {
                       "schedule": {"type": ["string", "null"]},
                       "policy": {"type": ["string", "null"]},
                       "keep_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 16777216}}}]},
  "cache_prompt": {"type": ["boolean", "null"], "default": true},
  "cache_salt": {"type": ["string", "null"], "maxLength": 64,
                 "description": "Only requests with the same one share a prefix; up to 64 characters."},
  "parse_special": {"type": ["boolean", "null"], "default": false,
                    "description": "Texts may spell control tokens."},
  "return_progress": {"type": ["boolean", "null"]},
  "return_kept": {"type": ["boolean", "null"]}
})json";

constexpr char kRequests[] = R"json({
  "Stop": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 1, "maxLength": 256},
                     {"type": "array", "maxItems": 64,
                      "items": {"type": "string", "minLength": 1, "maxLength": 256}}]},
  "Count": {"type": ["integer", "null"], "minimum": 1, "maximum": 16777216},
  "ChatRequest": {"type": "object", "required": ["messages"], "properties": {
    "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ChatMessage"}},
    "max_tokens": {"$ref": "#/components/schemas/Count"},
    "max_completion_tokens": {"$ref": "#/components/schemas/Count"},
    "n": {"type": ["integer", "null"], "minimum": 1},
    "stop": {"$ref": "#/components/schemas/Stop"},
    "logprobs": {"type": ["boolean", "null"]},
    "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "stream_options": {"type": ["object", "null"],
                       "properties": {"include_usage": {"type": ["boolean", "null"]}}},
    "tools": {"type": ["array", "null"], "items": {"type": "object", "required": ["type", "function"],
      "properties": {"type": {"const": "function"}, "function": {"$ref": "#/components/schemas/Function"}}}},
    "tool_choice": {"description": "auto, none, required, {\"type\": \"function\", \"function\": {\"name\": ...}}, or allowed_tools"},
    "parallel_tool_calls": {"type": ["boolean", "null"], "description": "false: one call at most"},
    "add_generation_prompt": {"type": ["boolean", "null"], "default": true},
    "chat_template_kwargs": {"type": ["object", "null"]},
    "enable_thinking": {"type": ["boolean", "null"]},
    "reasoning_effort": {"type": ["string", "null"]}}},
  "Function": {"type": "object", "required": ["name"], "properties": {
    "name": {"type": "string"}, "description": {"type": "string"}, "parameters": {"type": ["object", "null"]},
    "strict": {"type": ["boolean", "null"], "description": "true: calls fit `parameters`"}}},
  "ChatMessage": {"type": "object", "required": ["role", "content"], "properties": {
    "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
    "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {
      "type": "object", "required": ["type", "text"],
      "properties": {"type": {"const": "text"}, "text": {"type": "string"}}}}]},
    "reasoning_content": {"type": ["string", "null"]},
    "tool_call_id": {"type": ["string", "null"]}}},
  "CompletionRequest": {"type": "object", "required": ["prompt"], "properties": {
    "prompt": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
                         {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "string"}}]},
    "max_tokens": {"$ref": "#/components/schemas/Count"},
    "n": {"type": ["integer", "null"], "minimum": 1},
    "stop": {"$ref": "#/components/schemas/Stop"},
    "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "echo": {"type": ["boolean", "null"]},
    "suffix": {"type": ["string", "null"]},
    "fim": {"enum": ["native", "constrained", null]},
    "stream_options": {"type": ["object", "null"],
                       "properties": {"include_usage": {"type": ["boolean", "null"]}}}}},
  "InfillRequest": {"type": "object", "properties": {
    "input_prefix": {"type": ["string", "null"]},
    "prompt": {"type": ["string", "null"]},
    "input_suffix": {"type": ["string", "null"]},
    "input_extra": {"type": ["array", "null"], "items": {"type": "object", "required": ["text"],
      "properties": {"filename": {"type": "string"}, "text": {"type": "string"}}}},
    "n_predict": {"$ref": "#/components/schemas/Count"},
    "t_max_predict_ms": {"type": ["integer", "null"], "minimum": 0, "maximum": 2147483647},
    "stop": {"$ref": "#/components/schemas/Stop"},
    "fim": {"enum": ["native", "constrained", null]},
    "response_fields": {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 64}}},
  "ResponsesRequest": {"type": "object", "properties": {
    "input": {"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "array", "items": {"type": "object",
      "required": ["role", "content"], "properties": {
        "type": {"const": "message"},
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {
          "type": "object", "required": ["type", "text"],
          "properties": {"type": {"enum": ["input_text", "output_text"]}, "text": {"type": "string"}}}}]}}}}]},
    "instructions": {"type": ["string", "null"]},
    "max_output_tokens": {"$ref": "#/components/schemas/Count"},
    "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "tools": {"type": ["array", "null"], "items": {"type": "object", "required": ["type", "name"],
      "properties": {"type": {"const": "function"}, "name": {"type": "string"},
                     "description": {"type": ["string", "null"]}, "parameters": {"type": ["object", "null"]},
                     "strict": {"type": ["boolean", "null"]}}}},
    "tool_choice": {"description": "auto, none, required, or {\"type\": \"function\", \"name\": ...}"},
    "parallel_tool_calls": {"type": ["boolean", "null"]},
    "reasoning": {"type": ["object", "null"], "properties": {"effort": {"type": ["string", "null"]}}},
    "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
    "prompt_cache_key": {"type": ["string", "null"]},
    "store": {"type": ["boolean", "null"], "description": "Nothing is stored, whatever it says."},
    "previous_response_id": {"type": "null"},
    "background": {"type": ["boolean", "null"], "enum": [false, null]}}},
  "MessagesRequest": {"type": "object", "required": ["messages", "max_tokens"], "properties": {
    "messages": {"$ref": "#/components/schemas/AnthropicMessages"},
    "system": {"$ref": "#/components/schemas/AnthropicSystem"},
    "tools": {"$ref": "#/components/schemas/AnthropicTools"},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 16777216},
    "stop_sequences": {"$ref": "#/components/schemas/Stop"},
    "tool_choice": {"type": ["object", "null"], "required": ["type"], "properties": {
      "type": {"enum": ["auto", "any", "tool", "none"]}, "name": {"type": "string"},
      "disable_parallel_tool_use": {"type": ["boolean", "null"]}}},
    "thinking": {"type": ["object", "null"]}}},
  "CountTokensRequest": {"type": "object", "required": ["messages"], "properties": {
    "model": {"type": ["string", "null"]},
    "messages": {"$ref": "#/components/schemas/AnthropicMessages"},
    "system": {"$ref": "#/components/schemas/AnthropicSystem"},
    "tools": {"$ref": "#/components/schemas/AnthropicTools"}}},
  "AnthropicSystem": {"anyOf": [{"type": "null"}, {"type": "string"},
                                {"type": "array", "items": {"$ref": "#/components/schemas/TextBlock"}}]},
  "AnthropicMessages": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role", "content"],
    "properties": {"role": {"enum": ["user", "assistant"]}, "content": {"anyOf": [{"type": "string"},
      {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/TextBlock"}}]}}}},
  "AnthropicTools": {"type": ["array", "null"], "items": {"type": "object", "required": ["name", "input_schema"],
    "properties": {"name": {"type": "string"}, "description": {"type": "string"}, "input_schema": {"type": "object"},
                   "strict": {"type": ["boolean", "null"]}}}},
  "TextBlock": {"type": "object", "required": ["type", "text"],
                "properties": {"type": {"const": "text"}, "text": {"type": "string"}}},
  "TokenizeRequest": {"type": "object", "required": ["content"], "properties": {
    "content": {"type": "string"}, "add_special": {"type": ["boolean", "null"]},
    "parse_special": {"type": ["boolean", "null"]}, "with_pieces": {"type": ["boolean", "null"]}}},
  "DetokenizeRequest": {"type": "object", "required": ["tokens"],
                        "properties": {"tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}}
})json";

constexpr char kAnswers[] = R"json({
  "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object",
    "required": ["message", "type", "code"], "properties": {
      "message": {"type": "string"}, "type": {"type": "string"},
      "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]},
      "n_prompt_tokens": {"type": "integer"}, "n_ctx": {"type": "integer"}}}}},
  "AnthropicError": {"type": "object", "required": ["type", "error"], "properties": {
    "type": {"const": "error"}, "error": {"type": "object", "required": ["type", "message"],
      "properties": {"type": {"type": "string"}, "message": {"type": "string"}}}}},
  "Usage": {"type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"],
    "properties": {"prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"},
      "total_tokens": {"type": "integer"}, "prompt_tokens_details": {"type": "object",
        "required": ["cached_tokens"], "properties": {"cached_tokens": {"type": "integer"}}}}},
  "Timings": {"type": "object", "required": ["cache_n", "prompt_n", "prompt_ms", "predicted_n", "predicted_ms", "ttft_ms"],
    "additionalProperties": {"type": "number"}},
  "ChatCompletion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {"id": {"type": "string"}, "object": {"const": "chat.completion"}, "created": {"type": "integer"},
      "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"},
      "timings": {"$ref": "#/components/schemas/Timings"}, "lazy": {"type": ["object", "null"]},
      "choices": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["index", "message", "finish_reason"],
        "properties": {"index": {"type": "integer"}, "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
          "logprobs": {"type": ["object", "null"]},
          "message": {"type": "object", "required": ["role", "content"], "properties": {
            "role": {"const": "assistant"}, "content": {"type": ["string", "null"]},
            "reasoning_content": {"type": "string"}, "tool_calls": {"type": "array", "items": {"type": "object",
              "required": ["id", "type", "function"], "properties": {"id": {"type": "string"}, "type": {"const": "function"},
                "function": {"type": "object", "required": ["name", "arguments"],
                  "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}}}}}}}}}}}}},
  "Completion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {"id": {"type": "string"}, "object": {"const": "text_completion"}, "created": {"type": "integer"},
      "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"},
      "choices": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["index", "text", "finish_reason", "logprobs"],
        "properties": {"index": {"type": "integer"}, "text": {"type": "string"},
          "finish_reason": {"enum": ["stop", "length"]}, "logprobs": {"type": ["object", "null"]}}}}}},
  "Infill": {"type": "object", "properties": {"content": {"type": "string"}, "stop": {"type": "boolean"},
    "stop_type": {"enum": ["eos", "word", "limit"]}, "timings": {"type": "object"}}},
  "Response": {"type": "object", "required": ["id", "object", "created_at", "status", "error", "incomplete_details", "model",
      "output", "usage", "instructions", "tools", "tool_choice", "parallel_tool_calls", "metadata", "text", "reasoning"],
    "properties": {"id": {"type": "string"}, "object": {"const": "response"}, "created_at": {"type": "integer"},
      "status": {"enum": ["completed", "incomplete"]}, "error": {"type": "null"},
      "instructions": {"type": ["string", "null"]}, "parallel_tool_calls": {"type": "boolean"},
      "metadata": {"type": "object"}, "tools": {"type": "array"}, "model": {"type": "string"},
      "output": {"type": "array", "items": {"type": "object", "required": ["type", "id", "status"],
        "properties": {"type": {"enum": ["message", "reasoning", "function_call"]}}}},
      "usage": {"type": "object", "required": ["input_tokens", "input_tokens_details", "output_tokens",
        "output_tokens_details", "total_tokens"]}}},
  "ResponseInputTokens": {"type": "object", "required": ["object", "input_tokens"], "properties": {
    "object": {"const": "response.input_tokens"}, "input_tokens": {"type": "integer"}}},
  "Message": {"type": "object", "required": ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"],
    "properties": {"id": {"type": "string"}, "type": {"const": "message"}, "role": {"const": "assistant"},
      "model": {"type": "string"}, "content": {"type": "array", "items": {"type": "object", "required": ["type"],
        "properties": {"type": {"enum": ["text", "thinking", "tool_use"]}}}},
      "stop_reason": {"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use"]},
      "stop_sequence": {"type": ["string", "null"]},
      "usage": {"type": "object", "required": ["input_tokens", "output_tokens", "cache_read_input_tokens"]}}},
  "InputTokens": {"type": "object", "required": ["input_tokens"], "properties": {"input_tokens": {"type": "integer"}}},
  "Model": {"type": "object", "required": ["id", "object", "type", "created", "created_at", "display_name", "max_model_len", "meta"],
    "properties": {"id": {"type": "string"}, "object": {"const": "model"}, "type": {"const": "model"},
      "created": {"type": "integer"}, "max_model_len": {"type": "integer"}, "meta": {"type": "object"}}},
  "Models": {"type": "object", "required": ["object", "data", "has_more"], "properties": {"object": {"const": "list"},
    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}, "has_more": {"type": "boolean"}}},
  "Tokens": {"type": "object", "required": ["tokens", "count"], "properties": {"count": {"type": "integer"},
    "tokens": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["id", "piece"]}]}}}},
  "Text": {"type": "object", "required": ["content"], "properties": {"content": {"type": "string"}}},
  "Prompt": {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
  "Props": {"type": "object", "required": ["default_generation_settings", "total_slots", "model_alias", "model"]},
  "Slots": {"type": "array", "items": {"type": "object", "required": ["id", "n_ctx", "is_processing"]}},
  "Health": {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "loading"]}}},
  "Document": {"type": "object", "required": ["openapi", "info", "paths"]}
})json";

}  // namespace

Json openapi_schemas() {
  Json schemas = Json::parse(kRequests);
  const Json common = Json::parse(kCommon);
  for (const char* request :
       {"ChatRequest", "CompletionRequest", "InfillRequest", "ResponsesRequest", "MessagesRequest"})
    schemas[request]["properties"].update(common);
  for (const char* request : {"ChatRequest", "CompletionRequest"})
    schemas[request]["properties"]["n"]["maximum"] = kMaxChoices;
  schemas.update(Json::parse(kAnswers));
  return schemas;
}

}  // namespace lazyfill::server
