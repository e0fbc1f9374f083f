#include "cache/prefix_file.h"

#define XXH_INLINE_ALL
#include <fcntl.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "base/input_file.h"
#include "base/out_of_memory.h"
#include "base/quoted.h"
#include "cache/prefix_head.h"

namespace lazyfill {
namespace {

// A file is: magic, length of the head, head (JSON), body, checksum of all before it. The body's parts are in
// the order of StoredSequence, each layer by layer: tokens (where the head counts them), columns, tokens with
// states, states; then the states that entered. Numbers are little-endian, as those of every machine that we
// run on.
constexpr char kMagic[8] = {'L', 'F', 'P', 'R', 'E', 'F', '0', '1'};
constexpr uint64_t kHeadAt = sizeof kMagic + sizeof(uint64_t);
constexpr uint64_t kMostHeadBytes = uint64_t{64} << 20;
constexpr uint64_t kChecksumBytes = sizeof(uint64_t);

class Writer {
 public:
  // For its owner alone: prompts can be read in it.
  explicit Writer(const std::string& path) {
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor >= 0) file_ = fdopen(descriptor, "wb");
    XXH3_64bits_reset(&state_);
  }
  ~Writer() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void put(const void* data, size_t n_bytes) {
    if (n_bytes == 0) return;
    XXH3_64bits_update(&state_, data, n_bytes);
    is_good_ = is_good_ && file_ != nullptr && std::fwrite(data, 1, n_bytes, file_) == n_bytes;
  }
  // Whether all of it is there.
  bool end() {
    const uint64_t checksum = XXH3_64bits_digest(&state_);
    put(&checksum, sizeof checksum);
    if (file_ == nullptr) return false;
    return (std::fclose(std::exchange(file_, nullptr)) == 0) && is_good_;
  }

 private:
  std::FILE* file_ = nullptr;
  XXH3_state_t state_;
  bool is_good_ = true;
};

// Of columns [2, n_kv_heads, n, bytes of a head] those of the tokens [begin, end).
void put_columns(const CachePart::Layer& layer, size_t begin, size_t end, size_t n_lists, Writer& writer) {
  const size_t n = layer.tokens.size();
  if (n == 0) return;
  const size_t head_bytes = layer.columns.size() / n / n_lists;
  for (size_t list = 0; list < n_lists; ++list)
    writer.put(layer.columns.data() + (list * n + begin) * head_bytes, (end - begin) * head_bytes);
}

void put_body(const StoredSequence& sequence, const PrefixForm& form, Writer& writer) {
  const size_t n_lists = 2 * form.shape.n_kv_heads;
  const size_t state_bytes = form.shape.d_model * sizeof(float);
  for (const PartRange& range : sequence.parts) {
    const auto begin = static_cast<size_t>(range.begin - range.part->begin);
    const auto end = static_cast<size_t>(range.end - range.part->begin);
    for (const CachePart::Layer& layer : range.part->layers) put_columns(layer, begin, end, n_lists, writer);
    if (range.begin >= static_cast<TokenIndex>(sequence.name.n_dense))
      writer.put(range.part->entered.data() + begin * form.shape.d_model, (end - begin) * state_bytes);
  }
  if (sequence.name.n_dense == sequence.name.tokens.size()) return;
  for (const CachePart::Layer& layer : sequence.own->layers) {
    writer.put(layer.tokens.data(), layer.tokens.size() * sizeof(TokenIndex));
    put_columns(layer, 0, layer.tokens.size(), n_lists, writer);
    writer.put(layer.left.data(), layer.left.size() * sizeof(TokenIndex));
    writer.put(layer.states.data(), layer.left.size() * state_bytes);
  }
  for (const auto& votes : sequence.votes) writer.put(votes.data(), votes.size_bytes());
}

class Reader {
 public:
  Reader(InputFile file, const PrefixForm& form) : file_(std::move(file)), form_(form) {
    XXH3_64bits_reset(&state_);
    require(file_.size_bytes() >= kHeadAt + kChecksumBytes, "it is too short");
    end_ = file_.size_bytes() - kChecksumBytes;
    char magic[sizeof kMagic];
    get(magic, sizeof magic);
    require(std::equal(magic, magic + sizeof magic, kMagic), "it does not begin as one does");
    uint64_t n_bytes = 0;
    get(&n_bytes, sizeof n_bytes);
    require(n_bytes <= std::min(kMostHeadBytes, end_ - kHeadAt), "its head is longer than the file");
    std::string text(n_bytes, '\0');
    get(text.data(), n_bytes);
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    require(!json.is_discarded(), "its head is no JSON");
    head_ = prefix_head_of(json, form_);
  }

  const PrefixHead& head() const { return head_; }

  std::unique_ptr<LoadedPrefix> read() {
    require(body_bytes() == end_ - at_, "its length is another");
    auto loaded = std::make_unique<LoadedPrefix>();
    StoredSequence& sequence = loaded->sequence;
    sequence.name = head_.name;
    sequence.saved_for_revival = head_.saved_for_revival;
    const auto n = static_cast<TokenIndex>(head_.name.tokens.size());
    const auto n_dense = static_cast<TokenIndex>(head_.name.n_dense);
    TokenIndex begin = 0;
    for (size_t part_end : head_.part_ends) {
      const auto end = static_cast<TokenIndex>(part_end);
      read_part(begin, end, begin < n_dense ? form_.shape.n_layers : head_.name.plan.first_choosing + 1,
                sequence);
      begin = end;
    }
    if (n_dense < n) read_own(*loaded);
    uint64_t checksum = 0;
    const uint64_t expected = XXH3_64bits_digest(&state_);
    end_ += kChecksumBytes;
    get(&checksum, sizeof checksum);
    require(checksum == expected, "its checksum is another");
    if (n_dense < n) check_own(loaded->own);
    return loaded;
  }

 private:
  void get(void* data, size_t n_bytes) {
    require(n_bytes <= end_ - at_, "it is too short");
    if (auto read = file_.read_at(at_, {static_cast<std::byte*>(data), n_bytes}); !read)
      throw PrefixRefused{read.error().message};
    XXH3_64bits_update(&state_, data, n_bytes);
    at_ += n_bytes;
  }

  uint64_t column_bytes_of(uint64_t n_tokens) const {
    const SequenceCache::Shape& shape = form_.shape;
    return n_tokens * 2 * shape.n_kv_heads * column_bytes(shape.column_type, shape.head_dim);
  }
  // Of counts that are bounded by the context.
  uint64_t body_bytes() const {
    const uint64_t n = head_.name.tokens.size();
    const uint64_t n_dense = head_.name.n_dense;
    const uint64_t state_bytes = form_.shape.d_model * sizeof(float);
    uint64_t total = column_bytes_of(n_dense) * form_.shape.n_layers;
    total += (n - n_dense == 0) ? 0
                                : column_bytes_of(n - n_dense) * (head_.name.plan.first_choosing + 1) +
                                      (n - n_dense) * state_bytes;
    for (size_t count : head_.own_columns) total += count * sizeof(TokenIndex) + column_bytes_of(count);
    for (size_t count : head_.own_left) total += count * (sizeof(TokenIndex) + state_bytes);
    for (size_t has : head_.has_votes) total += has * n * sizeof(float);
    return total;
  }

  void read_part(TokenIndex begin, TokenIndex end, size_t end_layer, StoredSequence& sequence) {
    auto part = std::make_shared<CachePart>();
    part->begin = begin;
    part->end = end;
    part->layers.resize(end_layer);
    const auto n = static_cast<size_t>(end - begin);
    for (CachePart::Layer& layer : part->layers) {
      layer.tokens.resize(n);
      for (size_t i = 0; i < n; ++i) layer.tokens[i] = begin + static_cast<TokenIndex>(i);
      layer.columns = Buffer<std::byte>(column_bytes_of(n));
      get(layer.columns.data(), layer.columns.size_bytes());
    }
    if (begin >= static_cast<TokenIndex>(head_.name.n_dense)) {
      part->entered = Buffer<float>(n * form_.shape.d_model);
      get(part->entered.data(), part->entered.size_bytes());
    }
    sequence.parts.push_back({std::move(part), begin, end});
  }

  std::vector<TokenIndex> read_tokens(size_t n) {
    std::vector<TokenIndex> tokens(n);
    get(tokens.data(), n * sizeof(TokenIndex));
    const auto first = static_cast<TokenIndex>(head_.name.n_dense);
    const auto end = static_cast<TokenIndex>(head_.name.tokens.size());
    for (size_t i = 0; i < n; ++i) {
      require(tokens[i] >= (i == 0 ? first : tokens[i - 1] + 1) && tokens[i] < end,
              "its tokens are not in their order");
    }
    return tokens;
  }

  void read_own(LoadedPrefix& loaded) {
    CachePart& own = loaded.own;
    own.begin = static_cast<TokenIndex>(head_.name.n_dense);
    own.end = static_cast<TokenIndex>(head_.name.tokens.size());
    own.first_layer = head_.name.plan.first_choosing + 1;
    for (size_t i = 0; i < head_.own_columns.size(); ++i) {
      CachePart::Layer& layer = own.layers.emplace_back();
      layer.tokens = read_tokens(head_.own_columns[i]);
      layer.columns = Buffer<std::byte>(column_bytes_of(layer.tokens.size()));
      get(layer.columns.data(), layer.columns.size_bytes());
      layer.left = read_tokens(head_.own_left[i]);
      layer.states = Buffer<float>(layer.left.size() * form_.shape.d_model);
      get(layer.states.data(), layer.states.size_bytes());
    }
    for (size_t has : head_.has_votes) {
      std::vector<float>& votes = loaded.votes.emplace_back(has * head_.name.tokens.size());
      get(votes.data(), votes.size() * sizeof(float));
    }
    loaded.sequence.own = &own;
    loaded.sequence.votes.assign(loaded.votes.begin(), loaded.votes.end());
  }

  // A token that has a column at a layer has one at the next, or its state lies between them; and the other
  // way round.
  static void check_own(const CachePart& own) {
    for (size_t i = 0; i < own.layers.size(); ++i) {
      const CachePart::Layer& layer = own.layers[i];
      std::vector<TokenIndex> next = layer.left;
      if (i + 1 < own.layers.size())
        next.insert(next.end(), own.layers[i + 1].tokens.begin(), own.layers[i + 1].tokens.end());
      std::sort(next.begin(), next.end());
      require(i + 1 < own.layers.size() ? next == layer.tokens : layer.left.empty(),
              "its layers hold tokens that do not belong together");
    }
  }

  InputFile file_;
  const PrefixForm& form_;
  uint64_t at_ = 0;
  uint64_t end_ = 0;
  XXH3_state_t state_;
  PrefixHead head_;
};

// Runs fn(reader) on a file that may be anything.
template <class T, class Fn>
Result<T> with_reader(const std::string& path, const PrefixForm& form, Fn fn) {
  std::string why;
  auto result = guard_memory(
      [&]() -> Result<T> {
        auto file = InputFile::open(path);
        if (!file) return tl::unexpected(file.error());
        try {
          Reader reader(std::move(*file), form);
          return fn(reader);
        } catch (const PrefixRefused& refused) {
          why = refused.why;
        } catch (const nlohmann::json::exception&) {
          why = "its head is no such head";
        }
        return fail(ErrorCode::kInvalidFile, lazyfill::quoted(path) + " is not used: " + why);
      },
      [&] { return "not enough memory for " + lazyfill::quoted(path); });
  return result;
}

}  // namespace

std::string prefix_file_stem(const SequenceName& name) {
  const std::string rest = name.plan.name + '\n' + name.salt;
  const uint64_t seed = XXH3_64bits(rest.data(), rest.size());
  const uint64_t hash = XXH3_64bits_withSeed(name.tokens.data(), name.tokens.size() * sizeof(int32_t), seed);
  std::ostringstream hex;
  hex << std::hex << std::setw(16) << std::setfill('0') << hash;
  return hex.str();
}

Result<void> write_prefix(const std::string& path, const StoredSequence& sequence, const PrefixForm& form) {
  const std::string beside = path + ".part";
  bool is_written = false;
  {
    Writer writer(beside);
    const std::string head = json_of(prefix_head_of(sequence), form)
                                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const uint64_t n_bytes = head.size();
    writer.put(kMagic, sizeof kMagic);
    writer.put(&n_bytes, sizeof n_bytes);
    writer.put(head.data(), head.size());
    put_body(sequence, form, writer);
    is_written = writer.end();
  }
  std::error_code error;
  if (is_written) std::filesystem::rename(beside, path, error);
  if (is_written && !error) return {};
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  return fail(ErrorCode::kNotFound, "cannot write " + lazyfill::quoted(path) + ": no room, or no permission");
}

Result<SequenceName> read_prefix_name(const std::string& path, const PrefixForm& form) {
  return with_reader<SequenceName>(path, form,
                                   [](Reader& reader) -> Result<SequenceName> { return reader.head().name; });
}

Result<std::unique_ptr<LoadedPrefix>> read_prefix(const std::string& path, const PrefixForm& form) {
  using Loaded = std::unique_ptr<LoadedPrefix>;
  return with_reader<Loaded>(path, form, [](Reader& reader) -> Result<Loaded> { return reader.read(); });
}

}  // namespace lazyfill
