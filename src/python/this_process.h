// What has threads is whole only in the process that started them: a child made by fork() has the memory
// alone, and would wait for ever for threads that are not there. There it is left as it is.
#pragma once

#include <unistd.h>

#include <memory>
#include <utility>

namespace lazyfill::python {

template <class T>
class OfThisProcess {
 public:
  OfThisProcess() = default;
  explicit OfThisProcess(T value) : value_(std::make_shared<T>(std::move(value))) {}
  OfThisProcess(OfThisProcess&&) noexcept = default;
  OfThisProcess& operator=(OfThisProcess&&) = delete;
  ~OfThisProcess() { reset(); }

  // Who uses it without the interpreter's lock holds a share of it meanwhile.
  const std::shared_ptr<T>& share() const { return value_; }
  T& operator*() const { return *value_; }
  T* operator->() const { return value_.get(); }
  bool is_of_another_process() const { return getpid() != process_; }

  void emplace(T value) { value_ = std::make_shared<T>(std::move(value)); }
  void reset() {
    if (value_ != nullptr && is_of_another_process())
      new std::shared_ptr<T>(std::move(value_));  // never destroyed
    value_.reset();
  }

 private:
  std::shared_ptr<T> value_;
  pid_t process_ = getpid();
};

}  // namespace lazyfill::python
