// JSON schemas of requests and answers, for the OpenAPI document.
#pragma once

#include "server/api/error.h"

namespace lazyfill::server {

// Name -> schema: requests hold what is read of them here, answers what is always there. Both may have more.
Json openapi_schemas();

}  // namespace lazyfill::server
