// The web page that the server shows at "/". Its files are part of the program.
#pragma once

#include <span>
#include <string_view>

#include "server/http/http.h"

namespace lazyfill::server {

// "/" and what the page loads, pdf.js too where the program was built without it.
std::span<const std::string_view> page_paths();

// 404 for other paths, and for pdf.js where the program was built without it.
HttpResponse page_asset(std::string_view path);

}  // namespace lazyfill::server
