// Reads a folder of JSON-Schema-Test-Suite files and says, keyword by keyword, how many of the valid
// instances lazyfill's automata take, as a table in Markdown. Exits with 1 where an invalid one is taken.
//
//   schema_suite FOLDER [--verbose]
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "decoding/json_schema.h"
#include "decoding/key_tracker.h"

namespace {

using Json = nlohmann::json;

struct Count {
  size_t n_schemas = 0, n_refused = 0, n_valid = 0, n_taken = 0, n_invalid = 0, n_wrong = 0;
};

// As programs write it: with a space behind commas and colons.
std::string spaced(const Json& value) {
  std::string out;
  if (value.is_array() || value.is_object()) {
    out += value.is_array() ? '[' : '{';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      if (!first) out += ", ";
      first = false;
      if (value.is_object()) out += Json(key).dump() + ": ";
      out += spaced(item);
    }
    return out + (value.is_array() ? ']' : '}');
  }
  return value.dump();
}

bool takes(lazyfill::Terms& terms, const lazyfill::JsonSchemaTerm& schema, const std::string& text) {
  lazyfill::KeyTracker keys(schema.unique_items);
  return keys.push(text) && terms.nullable(terms.after(schema.start, text));
}

void check_group(const Json& group, const std::string& file, bool verbose, Count& count) {
  ++count.n_schemas;
  lazyfill::Terms terms;
  const auto schema = lazyfill::parse_json_schema(terms, group.at("schema").dump());
  const std::string where = file + ": " + group.at("description").get<std::string>();
  if (!schema) {
    ++count.n_refused;
    if (verbose) std::fprintf(stderr, "%s: refused: %s\n", where.c_str(), schema.error().message.c_str());
  } else {
    terms.close();
  }
  for (const Json& test : group.at("tests")) {
    const bool valid = test.at("valid").get<bool>();
    ++(valid ? count.n_valid : count.n_invalid);
    if (!schema) continue;
    const Json& data = test.at("data");
    bool taken = false;
    for (const std::string& text : {data.dump(), spaced(data), data.dump(2), data.dump(-1, ' ', true)})
      taken = takes(terms, *schema, text) || taken;
    count.n_taken += taken && valid ? 1 : 0;
    count.n_wrong += taken && !valid ? 1 : 0;
    if (verbose && taken != valid)
      std::fprintf(stderr, "%s, %s: %s\n", where.c_str(), test.at("description").get<std::string>().c_str(),
                   taken ? "TAKEN, BUT INVALID" : "not taken");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const bool verbose = argc > 2;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Count sum;
  std::printf(
      "| keyword | schemas | refused by name | valid instances taken | invalid ones taken "
      "|\n|---|---|---|---|---|\n");
  const auto print = [](const char* name, const Count& c) {
    std::printf("| %s | %zu | %zu | %zu of %zu | %zu of %zu |\n", name, c.n_schemas, c.n_refused, c.n_taken,
                c.n_valid, c.n_wrong, c.n_invalid);
  };
  for (const auto& file : files) {
    std::ifstream stream(file);
    const Json groups = Json::parse(stream);
    Count count;
    const bool is_format = file.parent_path().filename() == "format";
    const std::string name = (is_format ? "format: " : "") + file.stem().string();
    for (const Json& group : groups) check_group(group, name, verbose, count);
    print(name.c_str(), count);
    for (const auto member : {&Count::n_schemas, &Count::n_refused, &Count::n_valid, &Count::n_taken,
                              &Count::n_invalid, &Count::n_wrong})
      sum.*member += count.*member;
  }
  print("**all**", sum);
  return sum.n_wrong > 0 ? 1 : 0;
}
