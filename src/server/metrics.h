// What the server counts, for Prometheus. Names follow what vLLM's dashboards ask for, with our prefix.
#pragma once

#include <memory>
#include <string>

#include "lazyfill/scheduler.h"
#include "server/answers.h"

namespace lazyfill::server {

// Any thread may call it.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void count(const AnswerRecord& record);
  // Everything in Prometheus' text form.
  std::string text(const SchedulerStatus& status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lazyfill::server
