// Kept sequences as files, one each. A file may come from anywhere: nothing in it is trusted, and one that
// was written for another model or build is refused.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cache/sequence_cache.h"
#include "cache/stored_sequence.h"
#include "lazyfill/error.h"

namespace lazyfill {

// What a file must have been written for.
struct PrefixForm {
  std::string fingerprint;     // of the model, the kernels and the build
  SequenceCache::Shape shape;  // no sequence holds more than its capacity
  size_t n_vocab = 0;
};

// A name for its file, without an ending: the same for the same sequence.
std::string prefix_file_stem(const SequenceName& name);
// Written beside and renamed. Errors: the folder or the disk.
Result<void> write_prefix(const std::string& path, const StoredSequence& sequence, const PrefixForm& form);

// What the file says that it holds. Errors: those of the file, and what is in it.
Result<SequenceName> read_prefix_name(const std::string& path, const PrefixForm& form);

struct LoadedPrefix {
  StoredSequence sequence;  // points to what follows
  CachePart own;
  std::vector<std::vector<float>> votes;
};
// All of it, checked to the last byte. Errors: as above, a damaged file, and not enough memory.
Result<std::unique_ptr<LoadedPrefix>> read_prefix(const std::string& path, const PrefixForm& form);

}  // namespace lazyfill
