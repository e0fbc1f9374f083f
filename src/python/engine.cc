// Engines with the threads that compute for them, and schedulers.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <string>
#include <tuple>

#include "lazyfill/policies.h"
#include "python/bindings.h"
#include "python/failure.h"
#include "python/options.h"
#include "python/this_process.h"
#include "python/ticket.h"

namespace lazyfill::python {
namespace {

namespace nb = nanobind;

std::string_view view_of(const nb::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}

// A model, and the threads that its sessions and schedulers share.
struct LoadedEngine {
  Engine engine;
  OfThisProcess<Executor> executor;
  double load_ms = 0;
};

std::shared_ptr<LoadedEngine> load(const std::string& path, nb::handle options) {
  const EngineOptions of_engine = engine_options(options);
  return value_or_raise(without_lock([&]() -> Result<std::shared_ptr<LoadedEngine>> {
    const auto start = std::chrono::steady_clock::now();
    auto engine = Engine::load(path, of_engine);
    if (!engine) return tl::unexpected(engine.error());
    auto executor = engine->start_executor({});
    if (!executor) return tl::unexpected(executor.error());
    const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
    return std::make_shared<LoadedEngine>(
        LoadedEngine{std::move(*engine), OfThisProcess(std::move(*executor)), passed.count()});
  }));
}

nb::typed<nb::dict, nb::str, nb::any> info(const LoadedEngine& loaded) {
  const ModelInfo& model = loaded.engine.info();
  nb::dict told;
  told["architecture"] = text_of(model.architecture);
  told["name"] = text_of(model.name);
  told["n_parameters"] = model.n_parameters;
  told["file_bytes"] = model.file_bytes;
  told["n_layers"] = model.n_layers;
  told["d_model"] = model.d_model;
  told["n_heads"] = model.n_heads;
  told["n_kv_heads"] = model.n_kv_heads;
  told["head_dim"] = model.head_dim;
  told["d_ff"] = model.d_ff;
  told["n_vocab"] = model.n_vocab;
  told["n_tokens"] = model.n_tokens;
  told["context_length"] = model.context_length;
  told["prunable_layers"] = model.prunable_layers;
  told["tokenizer"] = text_of(model.tokenizer);
  told["isa"] = model.isa;
  told["activation_bits"] = model.activation_bits == ActivationBits::k8 ? 8 : 16;
  told["fingerprint"] = model.fingerprint;
  told["layer_windows"] = model.layer_windows;
  told["has_chat_template"] = model.has_chat_template;
  told["warnings"] = model.warnings;
  return told;
}

ChatRequest chat_request(const nb::bytes& messages, const nb::bytes& tools, const nb::bytes& variables,
                         bool add_generation_prompt) {
  return {.messages_json = std::string(view_of(messages)),
          .tools_json = std::string(view_of(tools)),
          .variables_json = std::string(view_of(variables)),
          .add_generation_prompt = add_generation_prompt};
}

std::vector<std::tuple<size_t, double, size_t, double>> resolve(const LoadedEngine& loaded, nb::handle lazy,
                                                                size_t n_tokens) {
  const auto stages = value_or_raise(loaded.engine.resolve_schedule(lazy_options(lazy), n_tokens));
  std::vector<std::tuple<size_t, double, size_t, double>> told;
  for (const ScheduleStage& stage : stages)
    told.emplace_back(stage.layer, stage.keep, stage.keep_tokens, stage.keep_mass);
  return told;
}

Request request_with(const TokenArray& tokens, nb::handle options) {
  Request request = request_of(options);
  request.tokens.assign(tokens.data(), tokens.data() + tokens.size());
  return request;
}

std::unique_ptr<Ticket> submit(Scheduler& scheduler, const TokenArray& tokens, nb::handle options,
                               bool watches_progress) {
  Request request = request_with(tokens, options);
  auto ticket = std::make_unique<Ticket>(watches_progress);
  value_or_raise(without_lock([&] { return ticket->ask(scheduler, std::move(request)); }));
  return ticket;
}

std::unique_ptr<Ticket> answer_alone(const LoadedEngine& loaded, size_t context_tokens,
                                     const TokenArray& tokens, nb::handle options, bool watches_progress) {
  Request request = request_with(tokens, options);
  auto ticket = std::make_unique<Ticket>(watches_progress);
  value_or_raise(
      without_lock([&] { return ticket->ask(*loaded.executor, context_tokens, std::move(request)); }));
  return ticket;
}

Array<float> token_logprobs(const LoadedEngine& loaded, const TokenArray& tokens, nb::handle endless) {
  const auto stream = stream_options(endless);
  auto logprobs = std::make_shared<std::vector<float>>(value_or_raise(
      without_lock([&] { return loaded.executor->token_logprobs(span_of(tokens), {}, stream); })));
  const std::vector<float>& values = *logprobs;
  return array_of(values, owner_of(std::move(logprobs)));
}

std::vector<std::tuple<std::string, std::string, bool>> policy_table() {
  std::vector<std::tuple<std::string, std::string, bool>> table;
  for (const PolicyInfo& info : policies())
    table.emplace_back(info.name, info.help, info.leaves == Leaves::kRows);
  return table;
}

// Its thread ends with it; meanwhile the interpreter goes on.
class SchedulerHandle {
 public:
  explicit SchedulerHandle(Scheduler scheduler) : scheduler_(std::move(scheduler)) {}
  ~SchedulerHandle() { close(); }
  void close() {
    without_lock([&] { scheduler_.reset(); });
  }
  std::shared_ptr<Scheduler> get() const {
    if (scheduler_.share() == nullptr) raise_invalid("this scheduler, or its engine, was closed");
    return scheduler_.share();
  }

 private:
  OfThisProcess<Scheduler> scheduler_;
};

nb::typed<nb::dict, nb::str, int> status(SchedulerHandle& handle) {
  const SchedulerStatus status = handle.get()->status();
  nb::dict told;
  told["n_queued"] = status.n_queued;
  told["n_prefilling"] = status.n_prefilling;
  told["n_decoding"] = status.n_decoding;
  told["kv_reserved_bytes"] = status.kv_reserved_bytes;
  told["kv_memory_bytes"] = status.kv_memory_bytes;
  told["n_ended"] = status.n_ended;
  told["n_prompt_tokens"] = status.n_prompt_tokens;
  told["n_generated_tokens"] = status.n_generated_tokens;
  told["n_cached_tokens"] = status.n_cached_tokens;
  told["prefix_bytes"] = status.prefix_bytes;
  return told;
}

void bind_scheduler(nb::module_& module) {
  nb::class_<SchedulerHandle>(module, "Scheduler")
      .def("submit",
           [](SchedulerHandle& handle, const TokenArray& tokens, nb::handle options, bool watches_progress) {
             return submit(*handle.get(), tokens, options, watches_progress);
           })
      .def("status", &status)
      .def("notes", [](SchedulerHandle& handle) { return handle.get()->notes(); })
      .def("close", &SchedulerHandle::close);
}

// own_threads: the scheduler does not wait for the engine's sessions.
std::unique_ptr<SchedulerHandle> start_scheduler(const LoadedEngine& loaded, nb::handle options,
                                                 bool own_threads) {
  const SchedulerOptions of_scheduler = scheduler_options(options);
  return std::make_unique<SchedulerHandle>(value_or_raise(without_lock([&] {
    return own_threads ? Scheduler::start(loaded.engine, of_scheduler)
                       : Scheduler::start(*loaded.executor, of_scheduler);
  })));
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_scheduler(module);
  nb::class_<LoadedEngine>(module, "Engine")
      .def_static("load", &load)
      .def_prop_ro("info", &info)
      .def_prop_ro("load_ms", [](const LoadedEngine& loaded) { return loaded.load_ms; })
      .def_prop_ro("n_threads", [](const LoadedEngine& loaded) { return loaded.executor->n_threads(); })
      .def("tokenize",
           [](const LoadedEngine& loaded, const nb::bytes& text, bool add_special, bool parse_special) {
             return value_or_raise(without_lock([&, view = view_of(text)] {
               return loaded.engine.tokenize(view, add_special, parse_special);
             }));
           })
      .def(
          "detokenize",
          [](const LoadedEngine& loaded, const TokenArray& tokens, bool with_special) {
            return text_of(loaded.engine.detokenize(span_of(tokens), with_special));
          },
          nb::sig("def detokenize(self, tokens: object, with_special: bool, /) -> str"))
      .def("piece",
           [](const LoadedEngine& loaded, int32_t id) {
             const std::string piece = loaded.engine.piece(id);
             return nb::bytes(piece.data(), piece.size());
           })
      .def("tokenize_chat",
           [](const LoadedEngine& loaded, const nb::bytes& messages, const nb::bytes& tools,
              const nb::bytes& variables, bool add_generation_prompt) {
             return value_or_raise(loaded.engine.tokenize_chat(
                 chat_request(messages, tools, variables, add_generation_prompt)));
           })
      .def(
          "apply_chat_template",
          [](const LoadedEngine& loaded, const nb::bytes& messages, const nb::bytes& tools,
             const nb::bytes& variables, bool add_generation_prompt) {
            return text_of(value_or_raise(loaded.engine.apply_chat_template(
                chat_request(messages, tools, variables, add_generation_prompt))));
          },
          nb::sig("def apply_chat_template(self, messages: bytes, tools: bytes, variables: bytes, "
                  "add_generation_prompt: bool, /) -> str"))
      .def("resolve_schedule", &resolve)
      .def("start_scheduler", &start_scheduler)
      .def(
          "start_session",
          [](const LoadedEngine& loaded, size_t context_tokens, nb::handle lazy, nb::handle endless) {
            const SessionOptions options = {.context_tokens = context_tokens,
                                            .lazy = lazy_options(lazy),
                                            .stream = stream_options(endless)};
            return session_object(
                value_or_raise(without_lock([&] { return loaded.executor->start_session(options); })));
          },
          nb::arg("context_tokens"), nb::arg("lazy"), nb::arg("endless").none(),
          nb::sig("def start_session(self, context_tokens: int, lazy: object, endless: object) -> Session"))
      .def("answer_alone", &answer_alone)
      .def("token_logprobs", &token_logprobs, nb::arg("tokens"), nb::arg("endless").none());
  module.def("policies", &policy_table, "Name, what it keeps, and whether a scheduler can take it.");
}

}  // namespace lazyfill::python
