// The regular expressions of published tokenisers, by the names that GGUF files use for them. They are facts
// of those models: each stands in the model's own tokenizer.json, or, where a comment says so, in the form
// that llama.cpp gave it when the name was introduced.
#pragma once

#include <array>
#include <string_view>

#include "tokenizer/pretokenizer.h"

namespace lazyfill {

struct PreTokenizerStep {
  constexpr PreTokenizerStep() = default;
  constexpr PreTokenizerStep(const char* text) : expression(text) {}
  constexpr PreTokenizerStep(std::string_view text) : expression(text) {}
  constexpr PreTokenizerStep(DigitGroups digits) : groups(digits) {}

  std::string_view expression;
  DigitGroups groups = DigitGroups::kNone;
};

struct PreTokenizerSpec {
  std::string_view names;  // with a space between two
  std::array<PreTokenizerStep, 6> steps;
  PreTokenizer::Habits habits;
};

// clang-format off
#define LAZYFILL_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LAZYFILL_SPACES R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
// Words in which a capital letter begins something new.
#define LAZYFILL_CAPITALS R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LAZYFILL_SMALL R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define LAZYFILL_CASED(SUFFIX) \
  R"([^\r\n\p{L}\p{N}]?)" LAZYFILL_CAPITALS "*" LAZYFILL_SMALL "+" SUFFIX \
  R"(|[^\r\n\p{L}\p{N}]?)" LAZYFILL_CAPITALS "+" LAZYFILL_SMALL "*" SUFFIX
#define LAZYFILL_UNCONTRACTED(DIGITS) R"([^\r\n\p{L}\p{N}]?\p{L}+|)" DIGITS R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define LAZYFILL_LLAMA3(DIGITS) LAZYFILL_CONTRACTION "|" LAZYFILL_UNCONTRACTED(DIGITS) LAZYFILL_SPACES
#define LAZYFILL_GPT4O(DIGITS, AFTER_PUNCTUATION) \
  LAZYFILL_CASED(LAZYFILL_CONTRACTION "?") "|" DIGITS R"(| ?[^\s\p{L}\p{N}]+)" AFTER_PUNCTUATION LAZYFILL_SPACES
#define LAZYFILL_DEEPSEEK3_WORDS \
  R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)re"
#define LAZYFILL_DEEPSEEK3 LAZYFILL_DEEPSEEK3_WORDS R"([\r\n]*)" LAZYFILL_SPACES

inline constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3 = LAZYFILL_LLAMA3(R"(\p{N}{1,3})");
inline constexpr std::string_view kQwen2 = LAZYFILL_LLAMA3(R"(\p{N})");
inline constexpr std::string_view kNumber = R"(\p{N})";
inline constexpr std::string_view kThreeNumbers = R"(\p{N}{1,3})";
inline constexpr std::string_view kCjkAndKana = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
inline constexpr std::string_view kCjkOfDeepseek = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
// Latin, Greek, Cyrillic, Armenian and other letters that have case.
inline constexpr std::string_view kCasedLetters =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";

inline constexpr PreTokenizerSpec kPreTokenizers[] = {
    {"gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum modern-bert jais trillion "
     "granite-docling exaone4 roberta-bpe jina-v1-en jina-v2-code", {kGpt2}, {}},
    {"mpt olmo", {kGpt2}, {.composes = true}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", {kNumber, kGpt2}, {}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", {kLlama3},
     {.takes_whole_words = true, .adds_bos = true}},
    {"dbrx smaug-bpe chatglm-bpe", {kLlama3}, {}},
    {"glm4 glm5", {kLlama3}, {.takes_whole_words = true}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2", {kQwen2}, {.composes = true}},
    {"laguna", {R"([^\n]+|\n+)", kQwen2}, {}},
    {"ufakzeka", {LAZYFILL_UNCONTRACTED(R"(\p{N})") LAZYFILL_SPACES}, {}},
    // Spaces in portions of powers of two. The file's \s*[\r\n]+ needs no second look within a run of spaces,
    // where it would cost the square of the run's length.
    {"jais-2", {LAZYFILL_CONTRACTION "|" LAZYFILL_UNCONTRACTED(R"(\p{N}{1,3})")
                R"(|(?<![^\S\r\n])\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S))"
                R"(|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s)"}, {}},
    // Words with the spaces between them. Nothing follows the group, so that it may give nothing back.
    {"exaone-moe", {LAZYFILL_CONTRACTION
                    R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?)"
                    R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}, {}},
    {"stablelm2 hunyuan megrez solar-open grok-2", {kQwen2}, {}},
    {"qwen35", {LAZYFILL_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
                LAZYFILL_SPACES}, {.composes = true}},
    {"minicpm5", {kThreeNumbers, LAZYFILL_LLAMA3(R"(\p{N}+)")}, {.takes_whole_words = true}},
    {"seed-coder", {LAZYFILL_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+)" LAZYFILL_SPACES},
     {}},
    {"bailingmoe bailingmoe2 llada-moe",
     {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
     {}},
    {"tekken", {LAZYFILL_CASED("") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAZYFILL_SPACES},
     {.takes_whole_words = true, .adds_bos = true}},
    {"gpt-4o llama4 kanana2 minimax-m2 talkie", {LAZYFILL_GPT4O(R"(\p{N}{1,3})", R"([\r\n/]*)")}, {}},
    {"granite-embed-multi-97m", {LAZYFILL_GPT4O(R"(\p{N}{1,3})", R"([\r\n/]*)")}, {.takes_whole_words = true}},
    {"tiny_aya cohere2moe", {DigitGroups::kBounded, LAZYFILL_GPT4O(R"(\p{N}{1,3})", R"([\r\n/]*)")}, {}},
    {"youtu", {"[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-\u303F"
               "\uFE30-\uFE4F]+|[\u3105-\u312F]+|[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
               LAZYFILL_GPT4O(R"(\p{N})", R"([\r\n/]*)")}, {.takes_whole_words = true}},
    // Han characters apart. [^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}] is capitals and letters without case but no
    // Han, which the model's file writes as an intersection of sets.
    {"kimi-k2", {R"(\p{sc:Han}+)"
                 R"(|[^\r\n\p{L}\p{N}]?[^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}]*[^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}]+)"
                 LAZYFILL_CONTRACTION "?"
                 R"(|[^\r\n\p{L}\p{N}]?[^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}]+[^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}]*)"
                 LAZYFILL_CONTRACTION "?"
                 R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAZYFILL_SPACES}, {}},
    {"superbpe", {R"(\p{N}+)", DigitGroups::kCuts}, {}},
    // The third step of the model's file is \s+$; of each run of spaces only its beginning is worth a try.
    {"deepseek-llm", {R"([\r\n])", kCasedLetters,
                      R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
                      R"((?<!\s)\s++\z)", kCjkOfDeepseek, R"(\p{N}+)"}, {}},
    {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kCjkOfDeepseek, kNumber}, {}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4", {kThreeNumbers, kCjkAndKana, LAZYFILL_DEEPSEEK3}, {}},
    {"spark2_5", {kThreeNumbers, kCjkAndKana, LAZYFILL_DEEPSEEK3_WORDS R"(|[\r\n]|\s+(?!\S)|\s+)", kNumber}, {}},
    // As llama.cpp has it.
    {"afmoe", {DigitGroups::kNumbers,
               "[\u4E00-\u9FFF\u3400-\u4DBF\uF900-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F"
               "\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+",
               LAZYFILL_DEEPSEEK3}, {}},
    {"chameleon", {"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", R"([\t\n]|    |  )", kNumber, R"([\p{P}!-/:-@\[-`{-~])", kGpt2},
     {.adds_bos = true}},
    {"gemma4 sarvam-moe granite-embed-multi-311m", {}, {.adds_bos = true, .is_plain = true}},
    {"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}, {}},
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}, {}},  // as llama.cpp has it
    {"bloom poro-chat gpt3-finnish", {" ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"}, {}},
    {"viking", {" ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+", kNumber}, {}},
};
// clang-format on

#undef LAZYFILL_CONTRACTION
#undef LAZYFILL_SPACES
#undef LAZYFILL_CAPITALS
#undef LAZYFILL_SMALL
#undef LAZYFILL_CASED
#undef LAZYFILL_UNCONTRACTED
#undef LAZYFILL_LLAMA3
#undef LAZYFILL_GPT4O
#undef LAZYFILL_DEEPSEEK3_WORDS
#undef LAZYFILL_DEEPSEEK3

}  // namespace lazyfill
