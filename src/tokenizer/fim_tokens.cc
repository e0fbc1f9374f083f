// The tokens that published models fill in the middle with, where a file does not state their ids.
#include <array>

#include "tokenizer/vocabulary.h"

namespace lazyfill {
namespace {

struct Family {
  std::string_view prefix, suffix, middle;
};
constexpr std::array<Family, 9> kFamilies{{
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen Coder, CodeGemma
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},        // SantaCoder
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},  // DeepSeek Coder
    {"<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"},
    {"▁<PRE>", "▁<SUF>", "▁<MID>"},  // Code Llama
    {"<PRE>", "<SUF>", "<MID>"},
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},
    {"<|prefix|>", "<|suffix|>", "<|middle|>"},
}};

struct Name {
  std::string_view text;
  int32_t FimTokens::*target;
};
constexpr std::array<Name, 16> kNames{{
    {"<|fim_pad|>", &FimTokens::padding},
    {"<fim_pad>", &FimTokens::padding},
    {"<fim-pad>", &FimTokens::padding},
    {"<|fim_repo|>", &FimTokens::repository},
    {"<|repo_name|>", &FimTokens::repository},
    {"<fim-repo>", &FimTokens::repository},
    {"<repo_name>", &FimTokens::repository},
    {"<reponame>", &FimTokens::repository},
    {"<REPO>", &FimTokens::repository},
    {"<|file_sep|>", &FimTokens::file},
    {"<|file_separator|>", &FimTokens::file},
    {"<file_sep>", &FimTokens::file},
    {"<START>", &FimTokens::line_start},
    {"▁<START>", &FimTokens::line_start},
    {"<END>", &FimTokens::line_end},
    {"▁<END>", &FimTokens::line_end},
}};

bool is_set_or(int32_t stated, int32_t found) {
  return stated >= 0 || found >= 0;
}

}  // namespace

// One of the three alone says nothing: only a model that has all of them was trained for it. Then they are
// control tokens, whatever the file calls them, so that no text of a user can spell one.
void Vocabulary::find_fim_tokens(const FimTokens& stated) {
  std::array<FimTokens, kFamilies.size()> found;
  FimTokens others;
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view name = text(id);
    if (name.size() < 5 || name.find('<') == std::string_view::npos) continue;
    for (size_t family = 0; family < kFamilies.size(); ++family) {
      if (name == kFamilies[family].prefix) found[family].prefix = id;
      if (name == kFamilies[family].suffix) found[family].suffix = id;
      if (name == kFamilies[family].middle) found[family].middle = id;
    }
    for (const Name& known : kNames) {
      if (name == known.text) others.*known.target = id;
    }
  }
  fim_ = stated;
  for (const FimTokens& family : found) {
    const bool completes = is_set_or(stated.prefix, family.prefix) &&
                           is_set_or(stated.suffix, family.suffix) && is_set_or(stated.middle, family.middle);
    if (fim_.known() || !completes) continue;
    if (fim_.prefix < 0) fim_.prefix = family.prefix;
    if (fim_.suffix < 0) fim_.suffix = family.suffix;
    if (fim_.middle < 0) fim_.middle = family.middle;
  }
  if (!fim_.known()) {
    fim_ = {};
    return;
  }
  for (const auto member : {&FimTokens::padding, &FimTokens::repository, &FimTokens::file,
                            &FimTokens::line_start, &FimTokens::line_end}) {
    if (fim_.*member < 0) fim_.*member = others.*member;
  }
  if (fim_.line_start < 0 || fim_.line_end < 0) fim_.line_start = fim_.line_end = -1;
  for (const int32_t id : {fim_.prefix, fim_.suffix, fim_.middle, fim_.padding, fim_.repository, fim_.file,
                           fim_.line_start, fim_.line_end}) {
    if (id >= 0) types_[static_cast<size_t>(id)] = TokenType::kControl;
  }
  // After the middle comes another file, or nothing.
  for (const int32_t id : {fim_.padding, fim_.repository, fim_.file}) {
    if (id >= 0) end_ids_.push_back(id);
  }
}

}  // namespace lazyfill
