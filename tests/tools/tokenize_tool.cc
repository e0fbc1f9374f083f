// Tokenises for the comparison with reference tokenisers (tests/python/test_tokenizer.py).
//
//   tokenize_tool MODEL.gguf [--special] [--parse-special] [--bytes] [--pre NAME] [--repeat N]
//
// Each line of standard input is a JSON string; each line of standard output is {"ids": [...], "text":
// decoded ids}, or
// {"error": sentence}. With --bytes each character of the string, U+0000 to U+00FF, is one byte of a text
// that may be invalid UTF-8, is mended as `--invalid-utf8 replace` does and told as "mended". --pre takes
// another splitter than the file's. How long the tokeniser took to make is said on standard error. With
// --repeat every text is encoded N times, and the line is
// {"n_bytes", "n_tokens", "seconds": [...]} (bench/tokenizers/compare.py).
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace {

using nlohmann::json;

json encode(const lazyfill::Tokenizer& tokenizer, const std::string& text,
            lazyfill::Tokenizer::EncodeOptions options) {
  const auto ids = tokenizer.encode(text, options);
  if (!ids) return {{"error", ids.error().message}};
  return {{"ids", *ids}, {"text", tokenizer.decode(*ids, options.parse_special)}};
}

// Characters up to U+00FF as the bytes that they number.
std::string bytes_of(const std::string& text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const auto c = lazyfill::utf8::decode(text, at);
    bytes += static_cast<char>(static_cast<unsigned char>(c.code_point));
    at += c.n_bytes;
  }
  return bytes;
}

json measure(const lazyfill::Tokenizer& tokenizer, const std::string& text, int n_repeats) {
  json seconds = json::array();
  size_t n_tokens = 0;
  for (int i = 0; i < n_repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const auto ids = tokenizer.encode(text, {.add_special = false});
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (!ids) return {{"error", ids.error().message}};
    n_tokens = ids->size();
    seconds.push_back(taken.count());
  }
  return {{"n_bytes", text.size()}, {"n_tokens", n_tokens}, {"seconds", seconds}};
}

int run(const std::string& path, const std::string& pre, lazyfill::Tokenizer::EncodeOptions options,
        bool bytes, int n_repeats) {
  const auto file = lazyfill::gguf::File::open(path);
  auto data = file ? lazyfill::read_tokenizer_data(*file) : tl::unexpected(file.error());
  if (data && !pre.empty()) data->pre = pre;
  const auto begin = std::chrono::steady_clock::now();
  const auto tokenizer = data ? lazyfill::make_tokenizer(*data) : tl::unexpected(data.error());
  const std::chrono::duration<double, std::milli> made_ms = std::chrono::steady_clock::now() - begin;
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << "\n";
    return 1;
  }
  std::cerr << (*tokenizer)->kind() << ", made in " << made_ms.count() << " ms\n";
  for (std::string line; std::getline(std::cin, line);) {
    const json text = json::parse(line, nullptr, false);
    json result = {{"error", "the line is not a JSON string"}};
    if (text.is_string() && n_repeats > 0) {
      result = measure(**tokenizer, text.get<std::string>(), n_repeats);
    } else if (text.is_string() && bytes) {
      const std::string mended = lazyfill::utf8::replace_invalid(bytes_of(text.get<std::string>()));
      result = encode(**tokenizer, mended, options);
      result["mended"] = mended;
    } else if (text.is_string()) {
      result = encode(**tokenizer, text.get<std::string>(), options);
    }
    std::cout << result.dump(-1, ' ', true, json::error_handler_t::replace) << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string path;
  std::string pre;
  int n_repeats = 0;
  bool bytes = false;
  lazyfill::Tokenizer::EncodeOptions options{.add_special = false, .parse_special = false};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--special") {
      options.add_special = true;
    } else if (argument == "--parse-special") {
      options.parse_special = true;
    } else if (argument == "--bytes") {
      bytes = true;
    } else if (argument == "--pre" && i + 1 < argc) {
      pre = argv[++i];
    } else if (argument == "--repeat" && i + 1 < argc) {
      n_repeats = std::atoi(argv[++i]);
    } else {
      path = argument;
    }
  }
  if (path.empty()) {
    std::cerr << "usage: tokenize_tool MODEL.gguf [--special] [--parse-special] [--bytes] [--pre NAME] "
                 "[--repeat N]\n";
    return 2;
  }
  return run(path, pre, options, bytes, n_repeats);
}
