// Tickets as Python sees them. Who waits lets go of the interpreter's lock, and takes it twenty times a
// second to see whether Ctrl-C was pressed.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <optional>
#include <tuple>
#include <vector>

#include "python/bindings.h"
#include "python/failure.h"
#include "python/ticket.h"

namespace lazyfill::python {
namespace {

namespace nb = nanobind;

constexpr std::chrono::milliseconds kLookForSignals{50};

// Raises what a signal's handler raises, KeyboardInterrupt; the engine has stopped by then.
void wait(Ticket& ticket, bool only_end) {
  while (!without_lock([&] { return ticket.box().wait_for(kLookForSignals, only_end); })) {
    if (PyErr_CheckSignals() == 0) continue;
    nb::python_error raised;  // takes it, so that the wait is undisturbed
    ticket.cancel();
    without_lock([&] { ticket.box().wait_for_end(); });
    throw raised;
  }
}

std::vector<std::tuple<int32_t, nb::object>> take(Ticket& ticket) {
  std::vector<std::tuple<int32_t, nb::object>> pieces;
  for (const Piece& piece : ticket.box().take()) pieces.emplace_back(piece.token, text_of(piece.text));
  return pieces;
}

std::optional<std::tuple<size_t, size_t, size_t, double>> take_progress(Ticket& ticket) {
  const auto progress = ticket.box().take_progress();
  if (!progress) return std::nullopt;
  return std::tuple(progress->layer, progress->n_layers, progress->rows, progress->fraction);
}

}  // namespace

void bind_ticket(nb::module_& module) {
  nb::class_<Ticket>(module, "Ticket")
      .def("wait", &wait, nb::kw_only(), nb::arg("only_end"))
      .def("take", &take, nb::sig("def take(self) -> list[tuple[int, str]]"))
      .def("take_progress", &take_progress)
      .def_prop_ro("ended", [](Ticket& ticket) { return ticket.box().has_ended(); })
      .def("generation", [](Ticket& ticket) { return value_or_raise(ticket.box().result()); })
      .def("cancel", [](Ticket& ticket) { without_lock([&] { ticket.cancel(); }); })
      .def("descriptor", [](Ticket& ticket) { return ticket.box().descriptor(); })
      .def("clear_descriptor", [](Ticket& ticket) { ticket.box().clear_descriptor(); });
}

}  // namespace lazyfill::python
