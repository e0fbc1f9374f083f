// Options: dataclasses in Python (python/lazyfill/_options.py), structs in C++. The fields that they share,
// with their names, are listed once, in options.cc. A new field is a line there, one in the dataclass and one
// in its keywords; a test compares the three, and the defaults.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>

#include "lazyfill/engine.h"
#include "lazyfill/scheduler.h"

namespace lazyfill::python {

EngineOptions engine_options(nanobind::handle options);
LazyOptions lazy_options(nanobind::handle options);
std::optional<StreamOptions> stream_options(nanobind::handle options);
SamplingOptions sampling_options(nanobind::handle options);
SchedulerOptions scheduler_options(nanobind::handle options);
// All but the tokens and who is called.
Request request_of(nanobind::handle options);

// What the structs hold when nobody says anything: {"GenerateOptions": {"max_tokens": 128, ...}, ...}.
nanobind::typed<nanobind::dict, nanobind::str, nanobind::any> default_options();

}  // namespace lazyfill::python
