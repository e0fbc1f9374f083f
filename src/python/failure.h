// What goes wrong in the engine, as the package's exceptions (python/lazyfill/_errors.py).
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <utility>

#include "lazyfill/error.h"

namespace lazyfill::python {

// The name by which the package knows the kind of an error: "not_found".
const char* error_name(ErrorCode code);

// The interpreter's lock is held.
[[noreturn]] void raise(const Error& error);
[[noreturn]] void raise_invalid(const std::string& sentence);

template <class T>
T value_or_raise(Result<T>&& result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Calls `work` without the interpreter's lock, so that other threads of Python go on meanwhile.
template <class Fn>
auto without_lock(Fn&& work) {
  const nanobind::gil_scoped_release release;
  return work();
}

}  // namespace lazyfill::python
