// Routes that tell about the model and the server, and those that only tokenise.
#pragma once

#include <string_view>

#include "server/service.h"

namespace lazyfill::server {

Json models(const Service& service, const Loaded& loaded);
// Error: it is not called so.
ApiResult<Json> model(const Service& service, const Loaded& loaded, std::string_view name);
Json props(const Service& service, const Loaded& loaded);
Json slots(const Service& service, const Loaded& loaded);

ApiResult<Json> tokenize(const Loaded& loaded, const Json& body);
ApiResult<Json> detokenize(const Loaded& loaded, const Json& body);
ApiResult<Json> apply_template(const Loaded& loaded, const Json& body);
ApiResult<Json> count_tokens(const Loaded& loaded, const Json& body);
ApiResult<Json> count_input_tokens(const Loaded& loaded, const Json& body);  // of Responses

}  // namespace lazyfill::server
