// The tables behind instruction_sets(), each in its own folder.
#pragma once

#include "kernels/kernels.h"

namespace lazyfill {
namespace reference {
const Kernels& table();
}
namespace avx2 {
const Kernels& table();
}
namespace avx512 {
const Kernels& table();
}
namespace amx {
const Kernels& table();
std::string obstacle();  // that lies in tiles; the rest of the table is that of avx512
}  // namespace amx
}  // namespace lazyfill
