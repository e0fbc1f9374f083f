// What the parts of the extension module know of each other.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill::python {

using TokenArray =
    nanobind::ndarray<const int32_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
template <class T>
using Array = nanobind::ndarray<nanobind::numpy, const T, nanobind::ndim<1>>;

inline std::span<const int32_t> span_of(const TokenArray& tokens) {
  return {tokens.data(), tokens.size()};
}

// [n] of memory that `owner` keeps alive; not copied.
template <class T>
Array<T> array_of(const std::vector<T>& values, nanobind::handle owner) {
  return Array<T>(values.data(), {values.size()}, owner);
}

// Any bytes as a text: what is no UTF-8 becomes U+FFFD.
nanobind::object text_of(std::string_view bytes);

// An object that keeps what is shared alive.
template <class T>
nanobind::capsule owner_of(std::shared_ptr<T> shared) {
  return nanobind::capsule(new std::shared_ptr<T>(std::move(shared)),
                           [](void* pointer) noexcept { delete static_cast<std::shared_ptr<T>*>(pointer); });
}

void bind_engine(nanobind::module_& module);
void bind_generation(nanobind::module_& module);
void bind_session(nanobind::module_& module);
void bind_ticket(nanobind::module_& module);

nanobind::object session_object(Session session);

}  // namespace lazyfill::python
