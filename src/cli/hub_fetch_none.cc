// Builds without libcurl or OpenSSL say where a model is, to be fetched by hand.
#include "cli/hub.h"

namespace lazyfill::cli {

Result<std::string> pull_model(const HubName& name, const Terminal& /*terminal*/) {
  const auto settings = hub_settings();
  if (!settings) return tl::unexpected(settings.error());
  return fail(ErrorCode::kUnsupported,
              "this build cannot fetch models, for want of libcurl: save the file from " +
                  settings->endpoint + "/" + name.repository() + "/tree/main and give it with -m");
}

}  // namespace lazyfill::cli
