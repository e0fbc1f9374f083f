// Routes that tell about the model and the server, and those that only tokenise.
#pragma once

#include "server/service.h"

namespace lazyfill::server {

Json models(const Service& service, const Loaded& loaded);
Json props(const Service& service, const Loaded& loaded);
Json slots(const Service& service, const Loaded& loaded);

ApiResult<Json> tokenize(const Loaded& loaded, const Json& body);
ApiResult<Json> detokenize(const Loaded& loaded, const Json& body);
ApiResult<Json> apply_template(const Loaded& loaded, const Json& body);
ApiResult<Json> count_tokens(const Loaded& loaded, const Json& body);

}  // namespace lazyfill::server
