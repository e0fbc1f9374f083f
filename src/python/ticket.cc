#include "python/ticket.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <system_error>
#include <utility>

namespace lazyfill::python {

Mailbox::~Mailbox() {
  if (descriptor_ >= 0) close(descriptor_);
}

void Mailbox::tell(bool is_piece) {
  if (!is_piece || !waits_for_end_) changed_.notify_all();
  if (descriptor_ >= 0) eventfd_write(descriptor_, 1);
}

void Mailbox::put(int32_t token, std::string_view text) {
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start_;
  const std::scoped_lock lock(mutex_);
  token_ms_.push_back(passed.count());
  pieces_.push_back({token, std::string(text)});
  tell(true);
}

void Mailbox::put(const Progress& progress) {
  const std::scoped_lock lock(mutex_);
  progress_ = progress;
  tell(false);
}

void Mailbox::end(Result<Generation> result) {
  const std::scoped_lock lock(mutex_);
  if (result) {
    // The end token is announced like any other, and is no part of the answer.
    token_ms_.resize(std::min(token_ms_.size(), result->token_ids.size()));
    result_ = std::make_shared<Answered>(Answered{std::move(*result), std::move(token_ms_)});
  } else {
    result_ = tl::unexpected(std::move(result.error()));
  }
  tell(false);
}

bool Mailbox::wait_for(std::chrono::milliseconds time, bool only_end) {
  std::unique_lock lock(mutex_);
  waits_for_end_ = only_end;
  return changed_.wait_for(lock, time, [&] {
    return result_.has_value() || progress_.has_value() || (!only_end && !pieces_.empty());
  });
}

void Mailbox::wait_for_end() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return result_.has_value(); });
}

std::vector<Piece> Mailbox::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(pieces_, {});
}

std::optional<Progress> Mailbox::take_progress() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(progress_, std::nullopt);
}

bool Mailbox::has_ended() const {
  const std::scoped_lock lock(mutex_);
  return result_.has_value();
}

Result<std::shared_ptr<Answered>> Mailbox::result() const {
  const std::scoped_lock lock(mutex_);
  if (!result_) return fail(ErrorCode::kInvalidArgument, "the answer is not at its end yet");
  return *result_;
}

int Mailbox::descriptor() {
  const std::scoped_lock lock(mutex_);
  if (descriptor_ < 0) {
    descriptor_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (descriptor_ >= 0) eventfd_write(descriptor_, 1);  // there may be something already
  }
  return descriptor_;
}

void Mailbox::clear_descriptor() {
  const std::scoped_lock lock(mutex_);
  eventfd_t count = 0;
  if (descriptor_ >= 0) eventfd_read(descriptor_, &count);
}

Ticket::Ticket(bool watches_progress) : box_(std::make_shared<Mailbox>()) {
  box_->watches_progress = watches_progress;
}

Ticket::~Ticket() {
  cancel();
}

void Ticket::cancel() {
  if (!stop_.is_of_another_process()) stop_->request_stop();
}

Callbacks Ticket::callbacks() {
  Callbacks callbacks;
  callbacks.on_token = [box = box_](int32_t token, std::string_view text) {
    box->put(token, text);
    return true;
  };
  if (box_->watches_progress) {
    callbacks.on_progress = [box = box_](const Progress& progress) { box->put(progress); };
  }
  callbacks.stop = stop_->get_token();
  return callbacks;
}

Result<void> Ticket::ask(Scheduler& scheduler, Request request) {
  request.callbacks = callbacks();
  request.on_end = [box = box_](Result<Generation> result) { box->end(std::move(result)); };
  return scheduler.submit(std::move(request));
}

Result<void> Ticket::ask(const Executor& executor, size_t context_tokens, Request request) {
  auto session = executor.start_session(
      {.context_tokens = context_tokens, .lazy = request.lazy, .stream = request.stream});
  if (!session) return tl::unexpected(session.error());
  try {
    thread_.emplace(std::jthread([box = box_, session = std::move(*session), request = std::move(request),
                                  callbacks = callbacks()]() mutable {
      box->end(session.generate(request.tokens, request.options, callbacks));
    }));
  } catch (const std::system_error&) {
    return fail(ErrorCode::kOutOfMemory, "no thread can be started for this request: the system limits them");
  }
  return {};
}

}  // namespace lazyfill::python
