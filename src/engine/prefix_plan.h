// What a prefix store knows a plan by.
#pragma once

#include <cstddef>
#include <optional>

#include "cache/prefix_file.h"
#include "cache/prefix_store.h"
#include "engine/engine_impl.h"
#include "lazyfill/scheduler.h"

namespace lazyfill {

// Two plans with the same name compute the same. None: what such a plan computes serves nobody else (dense
// with sparse attention).
std::optional<PrefixPlan> prefix_plan(const ResolvedLazy& plan, size_t n_layers);

// What files of kept sequences must have been written for.
PrefixForm prefix_form(const Engine::Impl& engine, const SchedulerOptions& options);

}  // namespace lazyfill
