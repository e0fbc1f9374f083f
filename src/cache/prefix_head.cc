#include "cache/prefix_head.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace lazyfill {
namespace {

using Json = nlohmann::json;

size_t number(const Json& json, const char* key, size_t most) {
  const Json& value = json.at(key);
  require(value.is_number_unsigned() && value.get<uint64_t>() <= most,
          "a number of its head is out of range");
  return value.get<size_t>();
}

std::vector<size_t> numbers(const Json& json, const char* key, size_t n, size_t most) {
  const Json& values = json.at(key);
  require(values.is_array() && values.size() == n, "a list of its head has another length");
  std::vector<size_t> all;
  for (const Json& value : values) {
    require(value.is_number_unsigned() && value.get<uint64_t>() <= most,
            "a number of its head is out of range");
    all.push_back(value.get<size_t>());
  }
  return all;
}

}  // namespace

void require(bool holds, const char* why) {
  if (!holds) throw PrefixRefused{why};
}

PrefixHead prefix_head_of(const StoredSequence& sequence) {
  PrefixHead head{sequence.name, sequence.saved_for_revival, {}, {}, {}, {}};
  for (const PartRange& range : sequence.parts) head.part_ends.push_back(static_cast<size_t>(range.end));
  if (sequence.name.n_dense == sequence.name.tokens.size()) return head;
  for (const CachePart::Layer& layer : sequence.own->layers) {
    head.own_columns.push_back(layer.tokens.size());
    head.own_left.push_back(layer.left.size());
  }
  for (const auto& votes : sequence.votes) head.has_votes.push_back(votes.empty() ? 0 : 1);
  return head;
}

Json json_of(const PrefixHead& head, const PrefixForm& form) {
  const SequenceName& name = head.name;
  return {{"fingerprint", form.fingerprint},
          {"tokens", name.tokens},
          {"prompt_end", name.prompt_end},
          {"n_dense", name.n_dense},
          {"plan", name.plan.name},
          {"first_choosing", name.plan.first_choosing},
          {"attention_mass", name.plan.attention_mass},
          {"salt", name.salt},
          {"saved_for_revival", head.saved_for_revival},
          {"part_ends", head.part_ends},
          {"own_columns", head.own_columns},
          {"own_left", head.own_left},
          {"has_votes", head.has_votes}};
}

PrefixHead prefix_head_of(const Json& json, const PrefixForm& form) {
  require(json.is_object() && json.at("fingerprint").is_string(), "its head is no such head");
  if (json.at("fingerprint").get<std::string>() != form.fingerprint)
    throw PrefixRefused{"it was written for another model or by another build"};
  PrefixHead head;
  SequenceName& name = head.name;
  const Json& tokens = json.at("tokens");
  require(tokens.is_array() && !tokens.empty() && tokens.size() <= form.shape.capacity_tokens,
          "it holds no tokens, or more than the context");
  for (size_t token : numbers(json, "tokens", tokens.size(), form.n_vocab - 1))
    name.tokens.push_back(static_cast<int32_t>(token));
  const size_t n = name.tokens.size();
  const size_t n_layers = form.shape.n_layers;
  name.prompt_end = number(json, "prompt_end", n);
  name.n_dense = number(json, "n_dense", n);
  name.plan.name = json.at("plan").get<std::string>();
  name.plan.first_choosing = number(json, "first_choosing", n_layers);
  name.plan.attention_mass = json.at("attention_mass").get<float>();
  require(name.plan.attention_mass > 0 && name.plan.attention_mass <= 1, "its share of attention is none");
  name.salt = json.at("salt").get<std::string>();
  head.saved_for_revival = json.at("saved_for_revival").get<double>();
  require(std::isfinite(head.saved_for_revival), "its savings are no number");
  const bool is_dense = name.plan.is_dense(n_layers);
  require(is_dense ? name.n_dense == n : name.plan.first_choosing + 1 < n_layers,
          "its plan does not fit the model");
  const Json& ends = json.at("part_ends");
  require(ends.is_array() && ends.size() <= n, "it has more parts than tokens");
  head.part_ends = numbers(json, "part_ends", ends.size(), n);
  const bool ascends = std::adjacent_find(head.part_ends.begin(), head.part_ends.end(),
                                          std::greater_equal<>()) == head.part_ends.end();
  const bool has_border =
      name.n_dense == 0 || std::binary_search(head.part_ends.begin(), head.part_ends.end(), name.n_dense);
  require(ascends && has_border && !head.part_ends.empty() && head.part_ends.front() > 0 &&
              head.part_ends.back() == n,
          "its parts do not follow one another");
  if (name.n_dense == n) return head;
  const size_t n_above = n_layers - name.plan.first_choosing - 1;
  head.own_columns = numbers(json, "own_columns", n_above, n - name.n_dense);
  head.own_left = numbers(json, "own_left", n_above, n - name.n_dense);
  head.has_votes = numbers(json, "has_votes", n_above + 1, 1);
  return head;
}

}  // namespace lazyfill
