// Rivals of lazy prefill, as drivers of a session's steps: policies by which no rows leave on their way up,
// but columns once a prompt is computed (SnapKV), or tokens before it is (GemFilter).
#pragma once

#include <stop_token>

#include "engine/session_impl.h"

namespace lazyfill {

// Session::Impl::step() for such a policy. On an error the session is as it was.
Result<SessionTrace> step_of_rival(Session::Impl& session, FunctionRef<bool(const Progress&)> keep_going,
                                   const std::stop_token& stop);

}  // namespace lazyfill
