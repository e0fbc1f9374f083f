// The texts that `calibrate` measures on when the user gives none: prose, code, lists, speech, each with a
// task.
#pragma once

#include <string_view>
#include <vector>

namespace lazyfill::cli {

std::vector<std::string_view> calibration_texts();

}  // namespace lazyfill::cli
