// The key-value part of a GGUF file. Internal to gguf/; consumers use File.
#pragma once

#include "gguf/cursor.h"
#include "gguf/file.h"

namespace lazyfill::gguf {

using Metadata = std::map<std::string, Value, std::less<>>;

// Memory taken is at most a small multiple of the bytes read. Errors: duplicate, empty or overlong keys,
// unknown value types, nested arrays, booleans other than 0 and 1, the end of the file.
Result<Metadata> read_metadata(Cursor& cursor, uint64_t n_pairs);

// general.alignment, or the format's default; an error (without the file's name) unless it is a power of two
// within bounds.
Result<uint64_t> checked_alignment(const Metadata& metadata);

}  // namespace lazyfill::gguf
