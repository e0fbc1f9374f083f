// The head of a prefix file (prefix_file.h): what the file holds, as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cache/prefix_file.h"

namespace lazyfill {

// Why a file is refused: thrown while it is read, and caught in prefix_file.cc.
struct PrefixRefused {
  std::string why;
};
void require(bool holds, const char* why);

struct PrefixHead {
  SequenceName name;
  double saved_for_revival = 0;
  std::vector<size_t> part_ends;    // [parts] the token behind each; the last is that behind all
  std::vector<size_t> own_columns;  // [layers above the choosing one] tokens
  std::vector<size_t> own_left;     // likewise, with states
  std::vector<size_t> has_votes;    // [layers from the choosing one on] 0 or 1
};

PrefixHead prefix_head_of(const StoredSequence& sequence);
nlohmann::json json_of(const PrefixHead& head, const PrefixForm& form);
// Every number is within what the form allows. Throws PrefixRefused and nlohmann::json::exception.
PrefixHead prefix_head_of(const nlohmann::json& json, const PrefixForm& form);

}  // namespace lazyfill
