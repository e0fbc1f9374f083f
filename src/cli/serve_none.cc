#include "cli/command.h"
#include "cli/terminal.h"

namespace lazyfill::cli {

int serve_command(const std::vector<std::string>& /*args*/) {
  return report_failure("serve",
                        {ErrorCode::kUnsupported,
                         "this lazyfill was built without a server; install libboost1.81-dev, libssl-dev and "
                         "prometheus-cpp-dev and build it again"});
}

}  // namespace lazyfill::cli
