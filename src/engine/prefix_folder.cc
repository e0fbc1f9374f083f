#include "engine/prefix_folder.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "base/common_prefix.h"
#include "base/quoted.h"

namespace lazyfill {
namespace {

namespace fs = std::filesystem;
constexpr char kEnding[] = ".prefix";

bool is_same(const SequenceName& a, const SequenceName& b) {
  return a.tokens == b.tokens && a.salt == b.salt && a.plan.name == b.plan.name;
}

// Whether a goes on from b, so that nobody needs b any more.
bool goes_on_from(const SequenceName& a, const SequenceName& b) {
  return a.salt == b.salt && a.plan.name == b.plan.name &&
         begins_with(a.tokens, std::span(b.tokens).first(b.prompt_end));
}

}  // namespace

Result<PrefixFolder> PrefixFolder::open(const std::string& path, PrefixForm form, uint64_t max_bytes) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, error))
    return fail(ErrorCode::kNotFound, "cannot use " + lazyfill::quoted(path) +
                                          " as the folder of --state: it is no folder, "
                                          "and none can be made there");
  PrefixFolder folder(path, std::move(form), max_bytes);
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == kEnding) folder.add(entry.path().string());
  }
  if (error)
    return fail(ErrorCode::kNotFound, "cannot read the folder " + lazyfill::quoted(path) + " of --state");
  return folder;
}

void PrefixFolder::add(const std::string& path) {
  auto name = read_prefix_name(path, form_);
  if (!name) {
    notes_.push_back(name.error().message);
    return;
  }
  std::error_code error;
  const uint64_t n_bytes = fs::file_size(path, error);
  files_.push_back({path, std::move(*name), n_bytes, fs::last_write_time(path, error)});
}

void PrefixFolder::remove(size_t i) {
  std::error_code ignored;
  fs::remove(files_[i].path, ignored);
  files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(i));
}

void PrefixFolder::save(const StoredSequence& sequence) {
  for (const File& file : files_) {
    if (is_same(file.name, sequence.name)) return;  // it was loaded, and nothing has come since
  }
  const std::string path = (fs::path(path_) / (prefix_file_stem(sequence.name) + kEnding)).string();
  if (auto written = write_prefix(path, sequence, form_); !written) {
    notes_.push_back(written.error().message);
    return;
  }
  for (size_t i = files_.size(); i-- > 0;) {
    if (goes_on_from(sequence.name, files_[i].name)) remove(i);
  }
  add(path);
  remove_oldest();
}

void PrefixFolder::remove_oldest() {
  const auto bytes = [&] {
    uint64_t total = 0;
    for (const File& file : files_) total += file.n_bytes;
    return total;
  };
  while (files_.size() > 1 && bytes() > max_bytes_) {
    const auto oldest = std::min_element(files_.begin(), files_.end(),
                                         [](const File& a, const File& b) { return a.written < b.written; });
    remove(static_cast<size_t>(oldest - files_.begin()));
  }
}

void PrefixFolder::load_better(PrefixStore& store, const PrefixStore::Question& question) {
  double most = store.most_work(question);
  const File* best = nullptr;
  for (const File& file : files_) {
    const double work = store.work_saved(file.name, question);
    if (work <= most) continue;
    most = work;
    best = &file;
  }
  if (best == nullptr) return;
  const auto i = static_cast<size_t>(best - files_.data());
  auto loaded = read_prefix(best->path, form_);
  if (!loaded) {
    notes_.push_back(loaded.error().message);
    files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
  try {
    LoadedPrefix& all = **loaded;
    store.restore(std::move(all.sequence), std::move(all.own), std::move(all.votes), form_.shape);
  } catch (const std::bad_alloc&) {  // then it is computed
  }
}

}  // namespace lazyfill
