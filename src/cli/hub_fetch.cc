// Fetches models from a hub. What the hub says is not trusted: names are checked, sizes are bounded, and a
// file gets its name only when its SHA-256 is right.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/checked.h"
#include "cli/http.h"
#include "cli/hub.h"
#include "cli/sha256.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostListBytes = size_t{32} << 20;
constexpr size_t kMostPages = 100;
constexpr uint64_t kMostFileBytes = uint64_t{1} << 42;
constexpr int kMostTries = 4;  // in a row without a byte of progress
constexpr int kMostCuts = 200;
constexpr uint64_t kLongestWaitSeconds = 60;

std::string in_address(std::string_view path) {
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || std::strchr("-_.~/", c) != nullptr)) {
      text += c;
      continue;
    }
    constexpr char kDigits[] = "0123456789ABCDEF";
    text += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

bool may_pass(const HttpReply& reply) {
  if (!reply.problem.empty()) return reply.may_pass;
  // A hub redirects to addresses that are good for some minutes: it gives a new one to whoever asks again.
  if (reply.is_elsewhere && (reply.status == 401 || reply.status == 403)) return true;
  return reply.status == 408 || reply.status == 429 || reply.status >= 500;
}

// What a person can do about an answer that is none.
Error error_of(const HttpReply& reply, const HubSettings& settings, const HubName& name) {
  const std::string hub = settings.endpoint;
  const std::string what = name.repository();
  if (reply.status == 0 || !reply.problem.empty())
    return {ErrorCode::kNotFound,
            "cannot fetch " + what + " from " + hub + ": " + printable(reply.problem) +
                "; check the network and the variable https_proxy, then give the same command " +
                "again, which goes on where this one ended"};
  if (reply.is_elsewhere && (reply.status == 401 || reply.status == 403))
    return {ErrorCode::kNotFound, "the storage that " + hub + " points to does not give out " + what +
                                      ": give the same command again, which goes on where this one ended"};
  const std::string terms =
      hub + " gives out " + what + " to those who accept its terms at " + hub + "/" + what;
  if ((reply.status == 401 || reply.status == 403) && reply.error_code == "GatedRepo")
    return {ErrorCode::kNotFound,
            terms + (settings.token.empty()
                         ? ": do so, and set HF_TOKEN to a token of yours"
                         : ": do so with the account whose token is in " + printable(settings.token_from))};
  if (reply.status == 401 && settings.token.empty())
    return {ErrorCode::kNotFound,
            hub + " shows no " + what + " to strangers: check the name, or set HF_TOKEN if it is private"};
  if (reply.status == 401)
    return {ErrorCode::kNotFound, hub + " does not accept the token in " + printable(settings.token_from) +
                                      ": make a new one there"};
  if (reply.status == 403)
    return {ErrorCode::kNotFound, hub + " does not give out " + what + " yet: accept its terms at " + hub +
                                      "/" + what + " and set HF_TOKEN"};
  if (reply.status == 404)
    return {ErrorCode::kNotFound, hub + " has no " + what + ", or not this file any more: check the name"};
  if (reply.status == 429)
    return {ErrorCode::kBusy, hub + " was asked too often: wait some minutes" +
                                  (settings.token.empty() ? ", or set HF_TOKEN, which allows more" : "")};
  if (reply.status >= 500)
    return {ErrorCode::kBusy,
            hub + " has a fault of its own (status " + std::to_string(reply.status) + "): try again later"};
  return {ErrorCode::kNotFound, hub + " answers with status " + std::to_string(reply.status) +
                                    ", which lazyfill does not know: check HF_ENDPOINT"};
}

void wait_before(int attempt, const HttpReply& reply) {
  const uint64_t seconds =
      std::max(uint64_t{1} << (attempt - 1), std::min(reply.wait_s, kLongestWaitSeconds));
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
}

Result<std::string> get_text(const std::string& url, const HubSettings& settings, const HubName& name,
                             std::string& next_page) {
  for (int attempt = 1;; ++attempt) {
    std::string body;
    const HttpReply reply =
        http_get({.url = url, .bearer = settings.token, .take = [&](long, std::string_view bytes) {
                    if (body.size() + bytes.size() > kMostListBytes) return false;
                    body += bytes;
                    return true;
                  }});
    next_page = reply.next_page;
    if (!reply.taken)
      return fail(ErrorCode::kInvalidFile, settings.endpoint + " lists more than can be: check HF_ENDPOINT");
    if (reply.status == 200 && reply.problem.empty()) return body;
    if (!may_pass(reply) || attempt == kMostTries) return tl::unexpected(error_of(reply, settings, name));
    wait_before(attempt, reply);
  }
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// One page of the list: [{"type": "file", "path": ..., "size": ..., "lfs": {"oid": SHA-256, "size": ...}}].
bool read_page(const std::string& text, std::vector<HubFile>& files) {
  const auto list = nlohmann::json::parse(text, nullptr, false);
  if (!list.is_array()) return false;
  const auto string_of = [](const nlohmann::json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  for (const auto& entry : list) {
    if (!entry.is_object() || string_of(entry, "type") != "file") continue;
    HubFile file{.path = string_of(entry, "path")};
    const auto lfs = entry.find("lfs");
    const bool has_lfs = lfs != entry.end() && lfs->is_object();
    const nlohmann::json& sized = has_lfs ? *lfs : entry;
    if (const auto size = sized.find("size"); size != sized.end() && size->is_number_unsigned())
      file.size = size->get<uint64_t>();
    if (has_lfs) file.sha256 = string_of(*lfs, "oid");
    if (!is_sha256(file.sha256)) file.sha256.clear();
    if (is_safe_path(file.path)) files.push_back(std::move(file));
  }
  return true;
}

Result<std::vector<HubFile>> list_files(const HubSettings& settings, const HubName& name) {
  std::vector<HubFile> files;
  std::string url = settings.endpoint + "/api/models/" + name.repository() + "/tree/main?recursive=true";
  for (size_t page = 0; page < kMostPages && !url.empty(); ++page) {
    std::string next;
    const auto text = get_text(url, settings, name, next);
    if (!text) return tl::unexpected(text.error());
    if (!read_page(*text, files))
      return fail(ErrorCode::kInvalidFile,
                  settings.endpoint + " does not answer as a hub does: check HF_ENDPOINT");
    url = origin_of(next) == origin_of(settings.endpoint) ? next : "";
  }
  return files;
}

Error disk_error(const std::string& path) {
  const std::string reason = std::strerror(errno);
  return {ErrorCode::kNotFound, "cannot write " + quote(path) + ": " + reason +
                                    "; make room or set XDG_CACHE_HOME to a folder that can be written to"};
}

// An open file that another program leaves alone.
class Incomplete {
 public:
  explicit Incomplete(const std::string& path)
      : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) {}
  ~Incomplete() {
    if (fd_ >= 0) close(fd_);
  }
  Incomplete(const Incomplete&) = delete;
  Incomplete& operator=(const Incomplete&) = delete;

  bool is_open() const { return fd_ >= 0; }
  bool lock() const { return flock(fd_, LOCK_EX | LOCK_NB) == 0; }
  uint64_t size() const {
    struct stat info {};
    return fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  }
  bool clear() const { return ftruncate(fd_, 0) == 0 && lseek(fd_, 0, SEEK_SET) == 0; }
  bool append(std::string_view bytes) const {
    if (lseek(fd_, 0, SEEK_END) < 0) return false;
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno != EINTR) return false;
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  bool sync() const { return fsync(fd_) == 0; }

 private:
  int fd_;
};

class Download {
 public:
  Download(const HubSettings& settings, const HubName& name, HubFile file, const Terminal& terminal)
      : settings_(settings),
        name_(name),
        file_(std::move(file)),
        terminal_(terminal),
        target_(hub_folder(name) + "/" + file_.path),
        incomplete_(target_ + "." + file_.sha256.substr(0, 12) + ".incomplete") {}

  // Of a file that is here already, without reading it again where a note beside it says that it was checked.
  bool is_here() const {
    std::error_code error;
    if (fs::file_size(target_, error) != file_.size || error) return false;
    std::string checked;
    std::ifstream(target_ + ".sha256") >> checked;
    if (checked == file_.sha256) return true;
    if (sha256_of_file(target_).value_or("") != file_.sha256) return false;
    note_checksum();
    return true;
  }

  uint64_t missing_bytes() const {
    std::error_code error;
    const uint64_t here = fs::file_size(incomplete_, error);
    return error ? file_.size : file_.size - std::min(file_.size, here);
  }

  Result<void> run() {
    std::error_code error;
    fs::create_directories(fs::path(target_).parent_path(), error);
    errno = error.value();
    if (error) return tl::unexpected(disk_error(target_));
    Incomplete out(incomplete_);
    if (!out.is_open()) return tl::unexpected(disk_error(incomplete_));
    if (!out.lock())
      return fail(ErrorCode::kBusy,
                  "another lazyfill is fetching " + quote(file_.path) + ": wait until it is done");
    if (auto done = fetch(out); !done) return done;
    if (!out.sync()) return tl::unexpected(disk_error(incomplete_));
    const auto sha256 = sha256_of_file(incomplete_);
    if (!sha256) return tl::unexpected(sha256.error());
    if (*sha256 != file_.sha256) {
      fs::remove(incomplete_, error);
      return fail(ErrorCode::kInvalidFile,
                  "what came for " + quote(file_.path) +
                      " has not the SHA-256 that the hub states, and was thrown away: give the " +
                      "same command again, and if it fails again do not trust this source");
    }
    fs::rename(incomplete_, target_, error);
    errno = error.value();
    if (error) return tl::unexpected(disk_error(target_));
    note_checksum();
    return {};
  }

 private:
  Result<void> fetch(const Incomplete& out) {
    const std::string url =
        settings_.endpoint + "/" + name_.repository() + "/resolve/main/" + in_address(file_.path);
    ProgressBar bar(terminal_,
                    fs::path(file_.path).filename().string() + " (" + bytes_text(file_.size) + ")");
    if (out.size() > file_.size && !out.clear()) return tl::unexpected(disk_error(incomplete_));
    int n_tries = 0;
    for (int n_cuts = 0; out.size() < file_.size; ++n_cuts) {
      const uint64_t before = out.size();
      HttpReply reply = get_rest(url, out, bar);
      if (!reply.taken && is_disk_error_) return tl::unexpected(disk_error(incomplete_));
      if (!reply.taken)
        return fail(ErrorCode::kInvalidFile, settings_.endpoint + " sends more than the " +
                                                 bytes_text(file_.size) + " that it states for " +
                                                 quote(file_.path) + ": try again later");
      if (out.size() == file_.size) break;
      if (reply.status == 416 && before > 0) {  // it cannot go on there
        if (!out.clear()) return tl::unexpected(disk_error(incomplete_));
        continue;
      }
      const bool is_cut = reply.problem.empty() && (reply.status == 200 || reply.status == 206);
      if (is_cut) {
        reply.problem = "the connection ended early";
        reply.may_pass = true;
      }
      n_tries = out.size() > before ? 1 : n_tries + 1;
      if (!may_pass(reply) || n_tries >= kMostTries || n_cuts >= kMostCuts)
        return tl::unexpected(error_of(reply, settings_, name_));
      bar.clear();
      wait_before(n_tries, reply);
    }
    return {};
  }

  HttpReply get_rest(const std::string& url, const Incomplete& out, ProgressBar& bar) {
    uint64_t have = out.size();
    bool is_first = true;
    return http_get({.url = url,
                     .bearer = settings_.token,
                     .offset = have,
                     .take = [&, this](long status, std::string_view bytes) {
                       if (is_first && status == 200 && have > 0) {  // all of it again
                         is_disk_error_ = !out.clear();
                         have = 0;
                       }
                       is_first = false;
                       if (is_disk_error_ || bytes.size() > file_.size - have) return false;
                       is_disk_error_ = !out.append(bytes);
                       have += bytes.size();
                       bar.update({.fraction = static_cast<double>(have) / static_cast<double>(file_.size)});
                       return !is_disk_error_;
                     }});
  }

  void note_checksum() const {
    std::ofstream(target_ + ".sha256")
        << file_.sha256 << "  " << fs::path(target_).filename().string() << '\n';
  }

  const HubSettings& settings_;
  const HubName& name_;
  HubFile file_;
  const Terminal& terminal_;
  std::string target_;
  std::string
      incomplete_;  // named after its content, so that what is fetched of another one never goes on in it
  bool is_disk_error_ = false;
};

Result<void> check_files(const HubSettings& settings, const std::vector<HubFile>& files) {
  for (const HubFile& file : files) {
    if (file.sha256.empty())
      return fail(ErrorCode::kUnsupported,
                  settings.endpoint + " states no SHA-256 for " + quote(file.path) +
                      ", so it cannot be checked: fetch it by hand and give it with -m");
    if (file.size == 0 || file.size > kMostFileBytes)
      return fail(ErrorCode::kInvalidFile, settings.endpoint + " states " + grouped(file.size) +
                                               " bytes for " + quote(file.path) +
                                               ", which cannot be: check the name");
  }
  return {};
}

Result<void> check_room(const std::string& models, uint64_t n_bytes) {
  std::error_code error;
  fs::create_directories(models, error);
  struct statvfs room {};
  if (statvfs(models.c_str(), &room) != 0) return {};  // writing will tell
  const uint64_t free_bytes = checked_mul(room.f_bavail, room.f_frsize).value_or(kMostFileBytes);
  if (n_bytes <= free_bytes) return {};
  return fail(ErrorCode::kNotFound, bytes_text(n_bytes) + " are to be fetched, but " + quote(models) +
                                        " has room for " + bytes_text(free_bytes) +
                                        ": make room or set XDG_CACHE_HOME to another disk");
}

}  // namespace

Result<std::string> pull_model(const HubName& name, const Terminal& terminal) {
  const auto settings = hub_settings();
  if (!settings) return tl::unexpected(settings.error());
  if (settings->is_offline) {
    if (auto path = cached_model(name)) return *path;
    return fail(ErrorCode::kNotFound,
                name.text() +
                    " is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset "
                    "it, or see 'lazyfill models' for those that are here");
  }
  const auto listed = list_files(*settings, name);
  if (!listed) return tl::unexpected(listed.error());
  const auto files = choose_files(name, *listed);
  if (!files) return tl::unexpected(files.error());
  if (auto checked = check_files(*settings, *files); !checked) return tl::unexpected(checked.error());
  uint64_t n_bytes = 0;
  for (const HubFile& file : *files) {
    const Download download(*settings, name, file, terminal);
    if (!download.is_here())
      n_bytes = checked_add(n_bytes, download.missing_bytes()).value_or(kMostFileBytes);
  }
  const std::string folder = hub_folder(name);
  if (auto room = check_room(folder, n_bytes); !room) return tl::unexpected(room.error());
  const std::string first = folder + "/" + files->front().path;
  if (n_bytes > 0)
    terminal.note("fetching " + name.repository() + ", " + files->front().path + " (" + bytes_text(n_bytes) +
                  ", " + grouped(files->size()) + (files->size() == 1 ? " file" : " files") + ") from " +
                  settings->endpoint);
  for (const HubFile& file : *files) {
    Download download(*settings, name, file, terminal);
    if (download.is_here()) continue;
    if (auto done = download.run(); !done) return tl::unexpected(done.error());
  }
  return first;
}

}  // namespace lazyfill::cli
