// Makes a tokeniser of whatever libFuzzer thinks of and encodes and decodes a text with it.
//   build/fuzz/bin/tokenizer_fuzz -dict=fuzz/tokenizer.dict -max_len=4096 -max_total_time=60 CORPUS
//   fuzz/corpus/tokenizer
// An input is lines: "model NAME", "pre NAME", "token TYPE SCORE TEXT", "merge LEFT RIGHT", "set FLAGS",
// "map N" with a character map of N bytes after it;
// from a line "text" on all is the text to encode.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace {

using lazyfill::TokenizerData;

struct Input {
  TokenizerData data;
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  std::string text;
  bool parse_special = false;
};

std::string_view next_part(std::string_view& rest, char end) {
  const size_t n = std::min(rest.find(end), rest.size());
  const std::string_view part = rest.substr(0, n);
  rest.remove_prefix(std::min(n + 1, rest.size()));
  return part;
}

void set_flags(std::string_view flags, Input& input) {
  TokenizerData& data = input.data;
  for (const char c : flags) {
    const bool on = c >= 'A' && c <= 'Z';
    switch (c | 0x20) {
      case 'b':
        data.add_bos = on;
        break;
      case 'e':
        data.add_eos = on;
        break;
      case 's':
        data.add_separator = on;
        break;
      case 'p':
        data.add_space_prefix = on;
        break;
      case 'x':
        data.remove_extra_whitespaces = on;
        break;
      case 'l':
        data.lower_case = on;
        break;
      case 'a':
        data.strip_accents = on;
        break;
      case 't':
        input.parse_special = on;
        break;
      case 'n':
        data.name = "phi-3";
        break;
      default:
        if (c >= '0' && c <= '9')
          data.unknown_id = data.bos_id = data.eos_id = static_cast<uint64_t>(c - '0');
    }
  }
}

Input parse(std::string_view bytes) {
  Input input;
  while (!bytes.empty()) {
    std::string_view line = next_part(bytes, '\n');
    const std::string_view word = next_part(line, ' ');
    if (word == "text") {
      input.text = bytes;
      break;
    }
    if (word == "model") input.data.model = line;
    if (word == "pre") input.data.pre = line;
    if (word == "set") set_flags(line, input);
    if (word == "merge") input.merges.emplace_back(line);
    if (word == "map") {
      const auto n_bytes = static_cast<size_t>(std::strtoul(std::string(line).c_str(), nullptr, 10));
      for (const char c : bytes.substr(0, n_bytes))
        input.data.character_map.push_back(static_cast<unsigned char>(c));
      bytes.remove_prefix(std::min(n_bytes, bytes.size()));
    }
    if (word == "token") {
      input.data.types.push_back(std::atoi(std::string(next_part(line, ' ')).c_str()));
      input.data.scores.push_back(std::strtof(std::string(next_part(line, ' ')).c_str(), nullptr));
      input.tokens.emplace_back(line);
    }
  }
  input.data.tokens = input.tokens;
  input.data.merges = input.merges;
  return input;
}

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void use(const lazyfill::Tokenizer& tokenizer, std::string_view text,
         lazyfill::Tokenizer::EncodeOptions options) {
  const auto ids = tokenizer.encode(text, options);
  if (!ids) {
    check(!ids.error().message.empty());
    return;
  }
  std::string pieces;
  std::string streamed;
  lazyfill::StreamingDecoder decoder(tokenizer);
  for (const int32_t id : *ids) {
    check(id >= 0 && static_cast<size_t>(id) < tokenizer.n_tokens());
    pieces += tokenizer.piece(id, false);
    const std::string part = decoder.push(id);
    check(!lazyfill::utf8::first_invalid(part));  // never half a character
    streamed += part;
  }
  streamed += decoder.finish();
  check(streamed == lazyfill::utf8::replace_invalid(pieces));
  (void)tokenizer.decode(*ids, options.parse_special);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Input input = parse({reinterpret_cast<const char*>(data), size});
  const auto tokenizer = lazyfill::make_tokenizer(input.data);
  if (!tokenizer) {
    check(!tokenizer.error().message.empty());
    return 0;
  }
  const bool special = input.parse_special;
  use(**tokenizer, input.text, {.add_special = special, .parse_special = special});
  if (lazyfill::utf8::first_invalid(input.text))
    use(**tokenizer, lazyfill::utf8::replace_invalid(input.text),
        {.add_special = special, .parse_special = special});
  return 0;
}
