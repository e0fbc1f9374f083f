// Which model a file holds, so that what was found for one model is not used for another.
#pragma once

#include <string>

#include "gguf/file.h"

namespace lazyfill::gguf {

// 16 hexadecimal digits of every tensor's name, type, shape and first values. The same for a copy with
// another name or other metadata, another for a fine-tuned or requantised model. No protection against
// forgery. Fails where the file has become shorter since it was opened.
Result<std::string> fingerprint(const File& file);

}  // namespace lazyfill::gguf
