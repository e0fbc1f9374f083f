#include "python/failure.h"

#include <nanobind/stl/string.h>

namespace lazyfill::python {

namespace nb = nanobind;

const char* error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kInvalidFile:
      return "invalid_file";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kContextExceeded:
      return "context_exceeded";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kBusy:
      return "busy";
  }
  return "invalid_argument";
}

void raise(const Error& error) {
  const nb::object exception =
      nb::module_::import_("lazyfill._errors").attr("error_of")(error_name(error.code), error.message);
  PyErr_SetObject(exception.type().ptr(), exception.ptr());
  throw nb::python_error();
}

void raise_invalid(const std::string& sentence) {
  raise({ErrorCode::kInvalidArgument, sentence});
}

}  // namespace lazyfill::python
