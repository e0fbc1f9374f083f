// Sessions: one conversation in small steps, computed in the thread that calls.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "python/bindings.h"
#include "python/failure.h"
#include "python/options.h"
#include "python/this_process.h"
#include "python/ticket.h"

namespace lazyfill::python {
namespace {

namespace nb = nanobind;

// One thread at a time; others wait for it.
class SharedSession {
 public:
  explicit SharedSession(Session session) : session_(std::move(session)) {}

  // Without the interpreter's lock.
  template <class Fn>
  auto with(Fn&& work) {
    if (user_.load() == std::this_thread::get_id())
      raise_invalid("a session cannot be used by the function that it tells its progress to");
    return without_lock([&] {
      const std::scoped_lock lock(mutex_);
      user_ = std::this_thread::get_id();
      struct Leave {
        std::atomic<std::thread::id>& user;
        ~Leave() { user = std::thread::id(); }
      } leave{user_};
      return work(*session_);
    });
  }

 private:
  OfThisProcess<Session> session_;
  std::mutex mutex_;
  std::atomic<std::thread::id> user_;
};

// Callbacks of a call: they look for Ctrl-C, tell the progress, and keep what Python raises until the call
// has ended.
class Watch {
 public:
  explicit Watch(nb::object on_progress) : on_progress_(std::move(on_progress)) {}

  Callbacks callbacks() {
    return {.on_token =
                [this](int32_t, std::string_view) {
                  const std::chrono::duration<double, std::milli> passed = Clock::now() - start_;
                  token_ms_.push_back(passed.count());
                  look(nullptr);
                  return true;
                },
            .on_progress = [this](const Progress& progress) { look(&progress); },
            .stop = stop_.get_token()};
  }

  // What Python raised comes before what the engine says of it.
  template <class T>
  Result<T> checked(Result<T> result) {
    if (raised_) throw std::move(*raised_);
    return result;
  }
  std::vector<double> token_ms() && { return std::move(token_ms_); }

 private:
  using Clock = std::chrono::steady_clock;

  void look(const Progress* progress) {
    const auto now = Clock::now();
    const bool at_end = progress != nullptr && progress->fraction >= 1 && !on_progress_.is_none();
    if (raised_ || (now - looked_ < std::chrono::milliseconds(50) && !at_end)) return;
    looked_ = now;
    const nb::gil_scoped_acquire lock;
    try {
      if (PyErr_CheckSignals() != 0) nb::raise_python_error();
      if (progress != nullptr && !on_progress_.is_none())
        on_progress_(progress->layer, progress->n_layers, progress->rows, progress->fraction);
    } catch (nb::python_error& error) {
      raised_.emplace(std::move(error));
      stop_.request_stop();
    }
  }

  nb::object on_progress_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point looked_ = start_;
  std::vector<double> token_ms_;
  std::stop_source stop_;
  std::optional<nb::python_error> raised_;
};

void step(SharedSession& session, nb::object on_progress) {
  Watch watch(std::move(on_progress));
  auto done = session.with([&](Session& s) { return s.step(watch.callbacks()); });
  value_or_raise(watch.checked(std::move(done)));
}

std::shared_ptr<Answered> generate(SharedSession& session, const TokenArray& tokens, nb::handle options,
                                   nb::object on_progress) {
  const Request request = request_of(options);
  Watch watch(std::move(on_progress));
  auto done = session.with(
      [&](Session& s) { return s.generate(span_of(tokens), request.options, watch.callbacks()); });
  auto generation = value_or_raise(watch.checked(std::move(done)));
  auto token_ms = std::move(watch).token_ms();
  token_ms.resize(std::min(token_ms.size(), generation.token_ids.size()));
  return std::make_shared<Answered>(Answered{std::move(generation), std::move(token_ms)});
}

// [n_vocab], or [0] where the last token is not computed; it stays as it is whatever the session does next.
Array<float> logits(SharedSession& session) {
  auto shared = session.with([](Session& s) { return s.shared_logits(); });
  if (!shared) shared = std::make_shared<const std::vector<float>>();
  const std::vector<float>& values = *shared;
  return array_of(values, owner_of(std::move(shared)));
}

}  // namespace

nb::object session_object(Session session) {
  return nb::cast(new SharedSession(std::move(session)), nb::rv_policy::take_ownership);
}

void bind_session(nb::module_& module) {
  nb::class_<SharedSession>(module, "Session")
      .def("sync",
           [](SharedSession& session, const TokenArray& tokens) {
             return value_or_raise(session.with([&](Session& s) { return s.sync(span_of(tokens)); }));
           })
      .def("append",
           [](SharedSession& session, const TokenArray& tokens, bool generated) {
             const Origin origin = generated ? Origin::kGenerated : Origin::kGiven;
             value_or_raise(session.with([&](Session& s) { return s.append(span_of(tokens), origin); }));
           })
      .def("step", &step, nb::arg("on_progress").none())
      .def("generate", &generate, nb::arg("tokens"), nb::arg("options"), nb::arg("on_progress").none())
      .def("logits", &logits)
      .def("sample",
           [](SharedSession& session, nb::handle options) {
             const SamplingOptions sampling = sampling_options(options);
             return value_or_raise(session.with([&](Session& s) { return s.sample(sampling); }));
           })
      .def("tokens",
           [](SharedSession& session) {
             return session.with([](Session& s) { return std::vector<int32_t>(s.tokens()); });
           })
      .def("n_tokens",
           [](SharedSession& session) { return session.with([](Session& s) { return s.n_tokens(); }); })
      .def("rewind",
           [](SharedSession& session, size_t n_tokens) {
             value_or_raise(session.with([&](Session& s) { return s.rewind(n_tokens); }));
           })
      .def("set_lazy", [](SharedSession& session, nb::handle lazy) {
        const LazyOptions options = lazy_options(lazy);
        value_or_raise(session.with([&](Session& s) { return s.set_lazy(options); }));
      });
}

}  // namespace lazyfill::python
