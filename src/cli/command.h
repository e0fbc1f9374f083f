// The commands of the program. Each takes the arguments after its name and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace lazyfill::cli {

int run_command(const std::vector<std::string>& args);
int chat_command(const std::vector<std::string>& args);
int serve_command(const std::vector<std::string>& args);
int bench_command(const std::vector<std::string>& args);
int explain_command(const std::vector<std::string>& args);
int calibrate_command(const std::vector<std::string>& args);
int doctor_command(const std::vector<std::string>& args);
int tokenize_command(const std::vector<std::string>& args);
int pull_command(const std::vector<std::string>& args);
int models_command(const std::vector<std::string>& args);
int inspect_command(const std::vector<std::string>& args);

}  // namespace lazyfill::cli
