// The JSON record of a generation.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill::cli {

// Version 1 of the record; docs/record.md describes it field by field.
nlohmann::ordered_json make_record(const Generation& generation, double load_ms);
nlohmann::ordered_json lazy_json(const Generation& generation);  // null after a dense prefill

// The largest resident set so far; 0 where the system does not tell.
uint64_t peak_rss_bytes();

double prefill_tokens_per_s(const Generation& generation);
double decode_tokens_per_s(const Generation& generation);  // 0 with fewer than two tokens

// One line without control characters; invalid UTF-8 is replaced.
std::string json_line(const nlohmann::ordered_json& value);
// The same of an object, with this JSON as its "id", as it was written; empty: without.
std::string json_line(const nlohmann::ordered_json& object, const std::string& id);
// A record in place of an answer. column: 0 where the error is not one of the line's text.
nlohmann::ordered_json error_record(const Error& error, size_t line, size_t column);

}  // namespace lazyfill::cli
