// The page and the coloured text of `lazyfill explain`.
#pragma once

#include <string>
#include <vector>

#include "cli/text.h"
#include "lazyfill/types.h"

namespace lazyfill::cli {

struct Explanation {
  ModelInfo model;
  std::vector<std::string> pieces;  // of every prompt token, control tokens by name
  Generation dense;
  Generation lazy;
  std::string policy = "lazy";
};

// One self-contained HTML page that works offline. The texts come from strangers: they stand in the page as
// JSON without a single '<', and its script only ever sets them as text.
std::string explain_page(const Explanation& explanation);

// The prompt for a terminal, darker the fewer layers computed a token.
std::string explain_colours(const Explanation& explanation);

// Exposed for tests: the JSON that the page holds.
std::string explain_json(const Explanation& explanation);

}  // namespace lazyfill::cli
