// Texts that users give: files, standard input, and the prompt that -f and -p make together.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/terminal.h"
#include "lazyfill/error.h"

namespace lazyfill::cli {

// "-", or one of the names that the system has for it.
bool is_standard_input(const std::string& path);
// It can be read once: a sentence where more than one of these is it; empty: all is well.
std::string standard_input_twice(const std::vector<std::string>& paths);

// All text of users passes here: valid UTF-8, or an error that names it by `what`.
Result<std::string> checked_text(std::string text, const std::string& what, const TextFlags& flags);
// A whole file, "-" for standard input, as valid UTF-8. A byte-order mark at its beginning is no part of it.
Result<std::string> read_text_file(const std::string& path, const TextFlags& flags);
void drop_byte_order_mark(std::string& text);
// The files one after another, an empty line between two.
Result<std::string> read_text_files(const std::vector<std::string>& paths, const TextFlags& flags);

// The files of -f, then the text of -p, with empty lines between. Without -f standard input takes its place:
// always where there is no -p; else only where it is a file or a pipe that something comes from (`cat x |`),
// see document_on_standard_input(). Errors: nothing given, an unreadable file, invalid UTF-8 (with its byte
// offset), an empty prompt. use_standard_input: false where another flag reads it.
Result<std::string> read_prompt(const PromptFlags& flags, const Terminal& terminal,
                                bool use_standard_input = true);

// Whether standard input holds a text although nobody named it. A regular file does if nothing of it was read
// yet: else it is a script or a list that a shell is going through. A pipe or a socket does if text, or its
// end, comes within `wait_ms`; there are pipes that nobody ever writes to (cron, ssh, CI, subprocesses). A
// terminal, a device or a closed stream does not.
enum class OnStandardInput { kNothing, kText, kTimedOut };
OnStandardInput document_on_standard_input(int fd, int wait_ms);

}  // namespace lazyfill::cli
