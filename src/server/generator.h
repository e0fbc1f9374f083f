// What computes answers: a scheduler, or in tests a script.
#pragma once

#include <utility>
#include <vector>

#include "lazyfill/scheduler.h"

namespace lazyfill::server {

class Generator {
 public:
  virtual ~Generator() = default;
  // As Scheduler::submit().
  virtual Result<void> submit(std::vector<Request> requests) = 0;
  virtual SchedulerStatus status() const = 0;
};

class ScheduledGenerator : public Generator {
 public:
  explicit ScheduledGenerator(Scheduler scheduler) : scheduler_(std::move(scheduler)) {}
  Result<void> submit(std::vector<Request> requests) override {
    return scheduler_.submit(std::move(requests));
  }
  SchedulerStatus status() const override { return scheduler_.status(); }

 private:
  Scheduler scheduler_;
};

}  // namespace lazyfill::server
