// Stands in for libFuzzer where the compiler has none: runs a fuzzer over a corpus and then over random
// changes of it, the same ones every time.
//   NAME_fuzz [-runs=N] [-seed=N] [-max_len=N] [-dict=FILE] FOLDER_OR_FILE...
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

struct Options {
  size_t runs = 0;
  size_t seed = 1;
  size_t max_len = 4096;
  std::string dictionary;
  std::vector<fs::path> paths;
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> read_corpus(const Options& options) {
  std::vector<fs::path> files;
  for (const fs::path& path : options.paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const fs::path& file : files) corpus.push_back(read(file));
  return corpus;
}

// Lines of libFuzzer's dictionaries: name="value" with \\, \" and \xAB.
std::vector<std::string> read_dictionary(const std::string& path) {
  std::vector<std::string> words;
  if (path.empty()) return words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find('"');
    const size_t end = line.rfind('"');
    if (line.empty() || line[0] == '#' || begin == end) continue;
    std::string word;
    for (size_t i = begin + 1; i < end; ++i) {
      if (line[i] == '\\' && i + 3 < end + 1 && line[i + 1] == 'x') {
        word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        if (line[i] == '\\') ++i;
        word += line[i];
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, std::vector<std::string> words, const Options& options)
      : corpus_(std::move(corpus)),
        words_(std::move(words)),
        max_len_(options.max_len),
        random_(options.seed) {
    if (corpus_.empty()) corpus_.emplace_back();
  }

  std::string next() {
    std::string text = corpus_[below(corpus_.size())];
    for (size_t n = 1 + below(4); n > 0; --n) change(text);
    text.resize(std::min(text.size(), max_len_));
    return text;
  }

 private:
  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  void change(std::string& text) {
    const size_t at = below(text.size() + 1);
    const size_t length = below(std::min<size_t>(text.size() - at, 32) + 1);
    switch (below(words_.empty() ? 5 : 7)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, text.substr(at, length));
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random_());
        break;
      case 3: {
        const std::string& other = corpus_[below(corpus_.size())];
        const size_t from = below(other.size() + 1);
        text = text.substr(0, at) + other.substr(from);
        break;
      }
      case 4:
        text.insert(at, 1, static_cast<char>(random_()));
        break;
      default:
        text.replace(at, below(2) * length, words_[below(words_.size())]);
    }
  }

  std::vector<std::string> corpus_;
  std::vector<std::string> words_;
  size_t max_len_;
  std::mt19937_64 random_;
};

void run(const std::string& text) {
  // A copy of its own size, so that a sanitizer sees a read beyond it.
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&](const char* name) {
      return argument.starts_with(name) ? argument.substr(std::string(name).size()) : std::string();
    };
    if (const std::string runs = value("-runs="); !runs.empty()) {
      options.runs = std::stoull(runs);
    } else if (const std::string seed = value("-seed="); !seed.empty()) {
      options.seed = std::stoull(seed);
    } else if (const std::string max_len = value("-max_len="); !max_len.empty()) {
      options.max_len = std::stoull(max_len);
    } else if (const std::string dictionary = value("-dict="); !dictionary.empty()) {
      options.dictionary = dictionary;
    } else if (!argument.starts_with('-')) {
      options.paths.emplace_back(argument);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::vector<std::string> corpus = read_corpus(options);
  for (const std::string& text : corpus) run(text);
  Mutator mutator(corpus, read_dictionary(options.dictionary), options);
  for (size_t i = 0; i < options.runs; ++i) run(mutator.next());
  std::printf("%zu inputs and %zu changes of them\n", corpus.size(), options.runs);
  return 0;
}
