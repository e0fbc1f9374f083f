// Kept sequences on disk: what a prefix store lets go, and what it holds at the end, for the next run.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cache/prefix_file.h"
#include "cache/prefix_store.h"

namespace lazyfill {

class PrefixFolder {
 public:
  // Makes the folder where there is none, and reads what its files hold by name. Those that cannot be used
  // are left alone, and said in notes(). Errors: the folder.
  static Result<PrefixFolder> open(const std::string& path, PrefixForm form, uint64_t max_bytes);

  // One sentence for each file that is not used, and each sequence that could not be written.
  const std::vector<std::string>& notes() const { return notes_; }

  // Writes a sequence; those that it goes on from leave, and the oldest where all take more than max_bytes.
  void save(const StoredSequence& sequence);
  // Brings the sequence to the store that saves the question most work, if it saves more than what is there.
  void load_better(PrefixStore& store, const PrefixStore::Question& question);

 private:
  struct File {
    std::string path;
    SequenceName name;
    uint64_t n_bytes = 0;
    std::filesystem::file_time_type written;
  };

  PrefixFolder(std::string path, PrefixForm form, uint64_t max_bytes)
      : path_(std::move(path)), form_(std::move(form)), max_bytes_(max_bytes) {}
  void add(const std::string& path);
  void remove(size_t i);
  void remove_oldest();

  std::string path_;
  PrefixForm form_;
  uint64_t max_bytes_;
  std::vector<File> files_;
  std::vector<std::string> notes_;
};

}  // namespace lazyfill
