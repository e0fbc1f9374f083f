// What the server's routes work with: the model once it is loaded, and what there is before that.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lazyfill/engine.h"
#include "server/answers.h"
#include "server/generator.h"

namespace lazyfill::server {

// A model that is ready to answer.
struct Loaded {
  Loaded(Engine loaded_engine, std::unique_ptr<Generator> loaded_generator, AnswersOptions loaded_options,
         SchedulerOptions loaded_scheduling, std::function<void(const AnswerRecord&)> on_answered)
      : engine(std::move(loaded_engine)),
        generator(std::move(loaded_generator)),
        options(loaded_options),
        scheduling(std::move(loaded_scheduling)),
        answers(engine, *generator, std::move(loaded_options), std::move(on_answered)) {}

  // What is still computed ends first, for it tells the answers so.
  ~Loaded() { generator.reset(); }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  Engine engine;
  std::unique_ptr<Generator> generator;
  AnswersOptions options;
  SchedulerOptions scheduling;
  LazyOptions lazy;  // of requests that do not say
  Answers answers;
};

class Service {
 public:
  std::shared_ptr<Loaded> loaded() const {
    const std::scoped_lock lock(mutex_);
    return loaded_;
  }
  void set_loaded(std::shared_ptr<Loaded> loaded) {
    const std::scoped_lock lock(mutex_);
    loaded_ = std::move(loaded);
  }
  int64_t started_s = 0;
  std::string version;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Loaded> loaded_;
};

}  // namespace lazyfill::server
