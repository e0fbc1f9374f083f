// The extension module lazyfill._core: the C++ interface as it is, for the package (python/lazyfill) to
// dress.
#include "python/bindings.h"
#include "python/options.h"

namespace lazyfill::python {

namespace nb = nanobind;

nb::object text_of(std::string_view bytes) {
  return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

NB_MODULE(_core, module) {
  nb::set_leak_warnings(false);  // an engine that lives as long as the interpreter is none
  module.doc() = "The C++ interface of lazyfill; use the package `lazyfill`, which documents it.";
  bind_generation(module);
  bind_ticket(module);
  bind_session(module);
  bind_engine(module);
  module.def("default_options", &default_options, "What the options are when nobody says anything.");
}

}  // namespace lazyfill::python
