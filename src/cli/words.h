// Words that people bring along from other programs: flags under other names, and arguments without a flag.
// Understood where the meaning is plain; else a sentence names our flag.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

enum class Takes { kNothing, kValue, kMaybeFile };
// What a flag of the command takes, by its name with dashes ("--temp", "-n"); empty: there is no such flag.
using KnownFlags = std::function<std::optional<Takes>(std::string_view)>;

struct UnderstoodArgs {
  std::vector<std::string>
      args;  // with our names; a flag that may have a file has one ("-" where none was given)
  std::vector<std::string> words;     // what follows "--", and is no flag
  std::vector<std::string> names;     // of the flags that are given, "--temp" or "-n"
  std::vector<std::string> warnings;  // a sentence for each flag that means nothing here
};
// An error says what to write instead.
Result<UnderstoodArgs> understand_args(const std::vector<std::string>& args, const KnownFlags& known);

// Arguments without a flag: a model and a prompt, in either order. `model` and `prompt` are what the flags
// gave; a prompt of nullptr: the command takes none. A sentence where the meaning is not plain; empty: all is
// well.
std::string understand_words(const std::vector<std::string>& words, std::string& model,
                             std::optional<std::string>* prompt);

// A name that ends in .gguf, an address of a hub, or a file that begins as GGUF files do.
bool names_model(const std::string& word);

// The command of ours that other programs call so; empty: none.
std::string_view our_command(std::string_view word);

// " (from the variable LAZYFILL_CTX)" for every variable whose value a sentence complains of.
std::string variables_behind(std::string_view sentence);

}  // namespace lazyfill::cli
