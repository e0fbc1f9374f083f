#include "cli/explain_page.h"

#include <explain_page_template.h>  // made from explain_page.html when the build is configured

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "cli/record.h"
#include "cli/summary.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

Json run_json(const Generation& generation) {
  return {{"ttft_ms", generation.timings.ttft_ms},
          {"prefill_tokens_per_s", prefill_tokens_per_s(generation)},
          {"text", generation.text},
          {"n_tokens", generation.token_ids.size()}};
}

Json stages_json(const LazyReport& report) {
  Json stages = Json::array();
  for (size_t i = 0; i < std::min(report.schedule.size(), report.kept.size()); ++i) {
    stages.push_back({{"layer", report.schedule[i].layer}, {"kept", report.kept[i].size()}});
  }
  return stages;
}

// The generation happened to all tokens of a group or to none that a reader could tell apart: the
// longest-lived token stands for its character.
std::vector<size_t> group_survival(const std::vector<TextGroup>& groups,
                                   const std::vector<size_t>& survived) {
  std::vector<size_t> result;
  for (const TextGroup& group : groups) {
    const auto first = survived.begin() + static_cast<ptrdiff_t>(group.first_token);
    result.push_back(*std::max_element(first, first + static_cast<ptrdiff_t>(group.n_tokens)));
  }
  return result;
}

// In a script element only "<" could end the data, and the two separators would end a line of old scripts.
std::string escape_for_script(const std::string& json) {
  std::string escaped;
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest = std::string_view(json).substr(i);
    if (json[i] == '<' || json[i] == '>' || json[i] == '&') {
      escaped += json[i] == '<' ? "\\u003c" : json[i] == '>' ? "\\u003e" : "\\u0026";
    } else if (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9")) {
      escaped += rest[2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      escaped += json[i];
    }
  }
  return escaped;
}

}  // namespace

std::string explain_json(const Explanation& explanation) {
  const LazyReport& report = explanation.lazy.lazy;
  const size_t n_tokens = explanation.pieces.size();
  const std::vector<TextGroup> groups = merge_pieces(explanation.pieces);
  Json text = Json::array();
  Json counts = Json::array();
  for (const TextGroup& group : groups) {
    text.push_back(group.text);
    counts.push_back(group.n_tokens);
  }
  const ModelInfo& model = explanation.model;
  const Json value = {{"version", 1},
                      {"model",
                       {{"name", model.name},
                        {"architecture", model.architecture},
                        {"n_parameters", model.n_parameters},
                        {"n_layers", model.n_layers},
                        {"isa", model.isa},
                        {"activation_bits", activation_bits(model)}}},
                      {"schedule", lazy_text(report)},
                      {"policy", explanation.policy},
                      {"prompt_tokens", n_tokens},
                      {"stages", stages_json(report)},
                      {"computed_share", computed_share(report, n_tokens, model.n_layers)},
                      {"dense", run_json(explanation.dense)},
                      {"lazy", run_json(explanation.lazy)},
                      {"text", std::move(text)},
                      {"tokens", std::move(counts)},
                      {"survived", group_survival(groups, stages_survived(report, n_tokens))}};
  return escape_for_script(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string explain_page(const Explanation& explanation) {
  constexpr std::string_view kMark = "%LAZYFILL_DATA%";
  std::string page(kExplainPageTemplate);
  const size_t at = page.find(kMark);
  return at == std::string::npos ? page : page.replace(at, kMark.size(), explain_json(explanation));
}

std::string explain_colours(const Explanation& explanation) {
  // Grey of the 256 colours: 232 is black, 255 white.
  constexpr size_t kDarkest = 239;
  constexpr size_t kBrightest = 255;
  const LazyReport& report = explanation.lazy.lazy;
  const std::vector<TextGroup> groups = merge_pieces(explanation.pieces);
  const std::vector<size_t> survival =
      group_survival(groups, stages_survived(report, explanation.pieces.size()));
  const size_t n_stages = std::max<size_t>(1, report.kept.size());
  std::string shown;
  size_t current = SIZE_MAX;
  for (size_t i = 0; i < groups.size(); ++i) {
    const size_t survived = report.kept.empty() ? n_stages : survival[i];
    if (survived != current) {
      const size_t grey = kDarkest + (kBrightest - kDarkest) * survived / n_stages;
      shown += survived == n_stages ? "\033[0;1m" : "\033[0;38;5;" + std::to_string(grey) + "m";
      current = survived;
    }
    shown += printable(groups[i].text);
  }
  return shown + "\033[0m\n";
}

}  // namespace lazyfill::cli
