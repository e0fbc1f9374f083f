// What the HTTP layer itself answers to what it does not take.
#pragma once

#include "server/http/http.h"

namespace lazyfill::server {

// `message` is a literal: nothing of a request comes back in an error.
struct Refusal {
  int status = 400;
  const char* message = "";
};

HttpResponse to_response(const Refusal& refusal);

}  // namespace lazyfill::server
