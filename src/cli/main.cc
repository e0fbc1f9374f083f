// lazyfill COMMAND [FLAGS]
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/text.h"
#include "cli/words.h"

namespace lazyfill::cli {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string>& args);
};

constexpr std::array kCommands = {
    Command{"run", "answer one prompt or many", run_command},
    Command{"chat", "a conversation, about a document if you like", chat_command},
    Command{"serve", "answer over HTTP, many clients at a time", serve_command},
    Command{"bench", "time to first token and speeds over prompt lengths and schedules", bench_command},
    Command{"explain", "which prompt tokens each pruning layer kept, as text and as a page", explain_command},
    Command{"calibrate", "find the schedule that is fastest at a given loss", calibrate_command},
    Command{"pull", "fetch a model by its name", pull_command},
    Command{"models", "the models that are here, with sizes and presets", models_command},
    Command{"doctor", "what this machine has, what to expect of it, and what is in the way", doctor_command},
    Command{"tokenize", "token ids and pieces of a text", tokenize_command},
    Command{"inspect", "what is in a GGUF file", inspect_command},
};

void print_help() {
  std::printf(
      "lazyfill: the first token of a long prompt, sooner.\n\n"
      "Examples:\n"
      "  lazyfill run -p \"The three primary colours are\"\n"
      "  lazyfill run --chat -f report.txt -p \"What did the committee decide?\"\n"
      "  lazyfill chat -f report.txt\n"
      "  lazyfill explain -f report.txt -p \"Summarise this.\" -o explain.html\n\n"
      "Commands:\n");
  for (const Command& command : kCommands) std::printf("  %-10s%s\n", command.name, command.summary);
  std::printf(
      "\n'lazyfill COMMAND --help' shows the flags of a command, 'lazyfill --version' the version.\n");
}

int dispatch(const std::vector<std::string>& args) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  if (args.empty()) return wrong_usage("", "no command given; there are " + join(names, ", "));
  const std::string& name = args.front();
  if (name.empty()) return wrong_usage("", "the command is empty; there are " + join(names, ", "));
  const bool wants_help = name == "--help" || name == "-h" || name == "help";
  if (wants_help && args.size() > 1 && !args[1].starts_with("-")) return dispatch({args[1], "--help"});
  if (wants_help) {
    print_help();
    return kExitDone;
  }
  if (name == "--version" || name == "version" || name == "-v" || name == "-V") {
    std::printf("lazyfill %s\n", LAZYFILL_VERSION);
    return kExitDone;
  }
  for (const Command& command : kCommands) {
    if (name == command.name) return command.run({args.begin() + 1, args.end()});
  }
  if (name.front() == '-' || names_model(name)) {
    return wrong_usage("", quote(name) + " comes after a command: lazyfill run -m MODEL.gguf -p TEXT, or " +
                               "lazyfill chat -m MODEL.gguf");
  }
  std::string sentence = "unknown command " + quote(name);
  const std::string_view ours = our_command(name);
  if (const auto candidate = ours.empty() ? nearest(name, names) : std::string(ours)) {
    sentence += "; did you mean " + *candidate + "?";
  } else {
    sentence += "; there are " + join(names, ", ");
  }
  return wrong_usage("", sentence);
}

// A stream that the caller closed leaves its number to the next file that is opened: a model could be read as
// the prompt, and an answer end up in a record. These neither give text nor take it.
void occupy_closed_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // takes the lowest number that is free
    }
  }
}

}  // namespace
}  // namespace lazyfill::cli

int main(int argc, char** argv) {
  lazyfill::cli::occupy_closed_streams();
  int exit_code = lazyfill::cli::kExitFailed;
  try {
    exit_code = lazyfill::cli::dispatch({argv + 1, argv + argc});
  } catch (const std::bad_alloc&) {  // not even for what commands say of it; this needs none
    std::fputs("lazyfill: not enough memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lazyfill: an error inside lazyfill, please report it: %s\n", error.what());
  }
  // A full disk shows only here; an answer that was lost must not look like one that was given.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "lazyfill: cannot write to standard output: %s\n", std::strerror(errno));
    return lazyfill::cli::kExitFailed;
  }
  return exit_code;
}
