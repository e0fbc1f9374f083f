// The description of what the server answers, at /openapi.json: made of the table of routes, so that it lists
// each of them and no other.
#pragma once

#include <string>

#include "server/api/error.h"

namespace lazyfill::server {

// OpenAPI 3.1. version: the program's.
Json openapi_document(const std::string& version);

}  // namespace lazyfill::server
