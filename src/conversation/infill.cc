#include "conversation/infill.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lazyfill {
namespace {

using Ids = std::vector<int32_t>;

constexpr size_t kLongLine = 400;  // bytes; what is longer is not written anew
constexpr size_t kNearCursor = 200;
constexpr size_t kMostSpace = 200;  // of white space that is given to the answer

// The first place from `at` on where a character begins.
size_t character_at(std::string_view text, size_t at) {
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

void append(Ids& ids, const Ids& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

// Tokenises texts one after another and keeps the first error.
class Encoder {
 public:
  explicit Encoder(const Engine& engine) : engine_(engine) {}

  Ids operator()(std::string_view text, bool space_prefix = false) {
    if (text.empty()) return {};
    return take(space_prefix ? engine_.tokenize(text, false) : engine_.tokenize_part(text));
  }
  // What stands in front of every text.
  Ids bos() {
    Ids ids = take(engine_.tokenize("", true));
    while (ids.size() > 1 && engine_.is_end(ids.back())) ids.pop_back();
    return ids;
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  Ids take(Result<Ids> ids) {
    if (ids) return std::move(*ids);
    if (!error_) error_ = ids.error();
    return {};
  }

  const Engine& engine_;
  std::optional<Error> error_;
};

// The parts of a prompt around its cursor, cut to what there is room for: a quarter for what follows, more
// where what stands before is short.
struct Around {
  Ids before, behind;

  size_t size() const { return before.size() + behind.size(); }
  void cut(size_t room) {
    const size_t left = room - std::min(before.size(), room);
    behind.resize(std::min(behind.size(), std::max(room / 4, left)));
    const size_t n_before = std::min(before.size(), room - std::min(behind.size(), room));
    before.erase(before.begin(), before.end() - static_cast<ptrdiff_t>(n_before));
  }
};

// Files in their order, of which the last ones count most.
Ids joined_files(const std::vector<Ids>& files, size_t room) {
  size_t first = files.size();
  while (first > 0 && files[first - 1].size() <= room) room -= files[--first].size();
  Ids ids;
  for (; first < files.size(); ++first) append(ids, files[first]);
  return ids;
}

size_t room_of(size_t max_tokens, size_t used) {
  return max_tokens - std::min(max_tokens, used);
}

// Repository, files, then prefix, suffix and middle, each behind its token.
Ids native_prompt(Encoder& encode, const FimTokens& fim, const InfillRequest& request, Around around,
                  const Ids& lines, size_t max_tokens) {
  const Ids bos = encode.bos();
  const size_t n_fixed = bos.size() + 3 + lines.size();
  around.cut(room_of(max_tokens, n_fixed));
  std::vector<Ids> files;
  for (const InfillFile& file : request.files) {
    Ids ids;
    if (fim.file >= 0) {
      ids.push_back(fim.file);
      append(ids, encode(file.name + "\n"));
    }
    append(ids, encode(file.text + (file.text.ends_with('\n') ? "" : "\n")));
    files.push_back(std::move(ids));
  }
  Ids repository, own;
  if (!files.empty() && fim.repository >= 0) {
    repository.push_back(fim.repository);
    append(repository, encode("repository\n"));
  }
  if (!files.empty() && fim.file >= 0) {
    own.push_back(fim.file);
    append(own, encode("file\n"));
  }
  const Ids context =
      joined_files(files, room_of(max_tokens, n_fixed + around.size() + repository.size() + own.size()));
  Ids ids = bos;
  if (!context.empty()) {
    append(ids, repository);
    append(ids, context);
    append(ids, own);
  }
  ids.push_back(fim.prefix);
  append(ids, around.before);
  ids.push_back(fim.suffix);
  append(ids, around.behind);
  append(ids, lines);
  ids.push_back(fim.middle);
  return ids;
}

// For models that only go on with texts: what comes later stands first, under a title.
Ids plain_prompt(Encoder& encode, const InfillRequest& request, std::string_view before,
                 std::string_view behind, size_t max_tokens) {
  const Ids bos = encode.bos();
  const bool has_title = !behind.empty();
  const Ids later = has_title ? encode("The end of the file:\n```\n") : Ids();
  const Ids title = has_title || before.empty() ? encode("\n```\n\nThe whole file:\n```\n") : Ids();
  // A text that goes on in its first line begins as texts do.
  Around around{encode(before, !has_title), encode(behind)};
  const size_t n_fixed = bos.size() + later.size() + title.size();
  around.cut(room_of(max_tokens, n_fixed));
  std::vector<Ids> files;
  for (const InfillFile& file : request.files)
    files.push_back(encode("The file " + file.name + ":\n```\n" + file.text + "\n```\n\n"));
  Ids ids = bos;
  append(ids, joined_files(files, room_of(max_tokens, n_fixed + around.size())));
  append(ids, later);
  append(ids, around.behind);
  append(ids, title);
  append(ids, around.before);
  return ids;
}

}  // namespace

CutLines cut_lines(std::string_view prefix, std::string_view suffix) {
  const size_t last_break = prefix.rfind('\n');
  size_t at = last_break == std::string_view::npos ? 0 : last_break + 1;
  if (prefix.size() - at > kLongLine) {
    const size_t near = prefix.size() - kNearCursor;
    const size_t space = prefix.find(' ', near);
    at = character_at(prefix, space == std::string_view::npos ? near : space);
  }
  const size_t first_break = suffix.find('\n');
  size_t end = first_break == std::string_view::npos ? suffix.size() : first_break + 1;
  if (end > kLongLine) end = character_at(suffix, kNearCursor);
  return {prefix.substr(0, at), prefix.substr(at), suffix.substr(0, end), suffix.substr(end)};
}

Result<InfillPrompt> make_infill_prompt(const Engine& engine, const InfillRequest& request,
                                        size_t max_tokens) {
  const FimTokens& fim = engine.fim_tokens();
  Encoder encode(engine);
  InfillPrompt prompt;
  if (request.form == InfillForm::kNative) {
    if (!fim.known())
      return fail(ErrorCode::kUnsupported,
                  "this model has no tokens to fill in the middle with; " + request.how_to_wish +
                      " makes it write whole lines that begin and end as the cut ones do");
    prompt.tokens = native_prompt(encode, fim, request,
                                  {encode(request.prefix, true), encode(request.suffix)}, {}, max_tokens);
  } else {
    const CutLines cut = cut_lines(request.prefix, request.suffix);
    std::string_view before = cut.before;
    // Tokens reach over white space, so the answer writes it anew and chooses them itself.
    if (!fim.known()) {
      const size_t last = before.find_last_not_of(" \t\r\n");
      const size_t n_text = last == std::string_view::npos ? 0 : last + 1;
      if (before.size() - n_text <= kMostSpace) before = before.substr(0, n_text);
    }
    prompt.guide.kind = GuideKind::kLines;
    prompt.guide.canonical = false;
    const std::string begin = request.prefix.substr(before.size());
    prompt.guide.choices = {begin, std::string(cut.end)};
    // Any other spelling of the two may take a few tokens more.
    const size_t n_bound = encode(begin).size() + encode(cut.end).size();
    prompt.n_bound_tokens = n_bound + n_bound / 4 + 2;
    Ids lines;
    if (fim.known() && fim.line_start >= 0) {
      lines.push_back(fim.line_start);
      append(lines, encode(cut.begin));
      lines.push_back(fim.line_end);
      append(lines, encode(cut.end));
    }
    prompt.tokens = fim.known() ? native_prompt(encode, fim, request,
                                                {encode(before, true), encode(cut.behind)}, lines, max_tokens)
                                : plain_prompt(encode, request, before, cut.behind, max_tokens);
  }
  if (encode.error()) return tl::unexpected(*encode.error());
  return prompt;
}

}  // namespace lazyfill
