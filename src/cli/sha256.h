// The SHA-256 of a file, by OpenSSL's libcrypto.
#pragma once

#include <string>

#include "lazyfill/error.h"

namespace lazyfill::cli {

Result<std::string> sha256_of_file(const std::string& path);  // 64 hexadecimal digits in lower case

}  // namespace lazyfill::cli
