// Runs chosen steps over one sequence and writes down everything that a test may want to compare: logits,
// what each stage kept and revived, and which columns exist. The tests' window into the engine, below its
// public interface.
//
//   lazyfill_probe REQUEST.json PREFIX   ->   PREFIX.json, PREFIX.f32 (logits, row after row)
//
// The request: {"model": PATH, "threads": 0, "context_tokens": 4096, "lazy": {...LazyOptions...}, "steps":
// [...]}, each step one of
//   {"tokens": [...], "prompt_end": N, "logit_rows": 1}   positions from prompt_end on count as generated
//   {"tokens": [...], ..., "stop_at": N}   is stopped the Nth time it asks to go on, and not reported
//   {"rewind": N}                                         forget the tokens from position N on
//   {"lazy": {...}}                                       other options from here on
// "stream": {"sinks": 4, "window": 100} makes a stream of it, which forgets what a step does not see; the
// tokens of a step are then at most as many as there is room for beside those: "context_tokens" in all.
// "isa" names the kernels, "activation_bits" is 16 or 8; "column_type": "f32", "f16" or "q8" overrides what
// the instruction set stores columns as. Exit code 2 and one sentence on standard error when the engine
// refuses something.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/step.h"
#include "engine/stream.h"
#include "gguf/file.h"
#include "kernels/kernels.h"
#include "lazyfill/policies.h"
#include "model/model.h"
#include "pruning/schedule.h"

namespace lazyfill {
namespace {

using nlohmann::json;

const json kColumnTypes = {{"f32", ColumnType::kF32}, {"f16", ColumnType::kF16}, {"q8", ColumnType::kQ8}};
const json kPoolings = {{"none", Pooling::kNone}, {"average", Pooling::kAverage}, {"max", Pooling::kMax}};

LazyOptions read_options(const json& request) {
  LazyOptions options;
  options.schedule = request.value("schedule", "off");
  options.policy = policy_from_name(request.value("policy", "lazy")).value();
  options.window_rows = request.value("window_rows", options.window_rows);
  options.pooling = kPoolings.at(request.value("pooling", "average")).get<Pooling>();
  options.pooling_width = request.value("pooling_width", options.pooling_width);
  options.score_layers = request.value("score_layers", options.score_layers);
  options.vote_memory = request.value("vote_memory", options.vote_memory);
  options.seed = request.value("seed", options.seed);
  options.protect_first = request.value("protect_first", options.protect_first);
  options.protect_last = request.value("protect_last", options.protect_last);
  options.prune_generated = request.value("prune_generated", options.prune_generated);
  options.attention_mass = request.value("attention_mass", 1.0F);
  options.revival = Revival::all();
  if (request.contains("max_revived") && !request["max_revived"].is_null())
    options.revival = Revival::up_to(request["max_revived"].get<size_t>());
  options.revive_margin = request.value("revive_margin", 0.0F);
  return options;
}

class Probe {
 public:
  Probe(const Model& model, size_t n_threads, const SequenceCache::Shape& shape, const std::string& prefix)
      : model_(model),
        workspace_(n_threads),
        cache_(shape),
        logits_file_(prefix + ".f32", std::ios::binary) {}

  Result<void> set_lazy(const json& request) {
    options_ = read_options(request);
    auto stages = parse_schedule(options_.schedule, model_.config.n_layers, model_.config.prunable_layers());
    if (!stages) return tl::unexpected(stages.error());
    schedule_ = *stages;
    return {};
  }

  Result<void> run(const json& step) {
    if (step.contains("lazy")) return set_lazy(step["lazy"]);
    if (step.contains("rewind")) {
      cache_.truncate(step["rewind"].get<size_t>());
      return {};
    }
    const auto tokens = step.at("tokens").get<std::vector<int32_t>>();
    const size_t n_now = cache_.n_tokens() + tokens.size();
    if (cache_.shape().window_tokens > 0) forget_unseen(cache_);
    if (cache_.n_held() + tokens.size() > cache_.capacity_tokens())
      return fail(ErrorCode::kContextExceeded, "context_tokens is too small");
    const auto voters = step.value("voters", std::vector<int32_t>{});
    const size_t n_logit_rows = step.value("logit_rows", size_t{1});
    std::vector<float> logits(n_logit_rows * model_.config.n_vocab);
    SequenceStep sequence{.cache = cache_,
                          .tokens = tokens,
                          .plan = {.schedule = schedule_,
                                   .lazy = &options_,
                                   .prompt_end = step.value("prompt_end", n_now),
                                   .voters = voters},
                          .logits = logits,
                          .n_logit_rows = n_logit_rows};
    size_t n_left = step.value("stop_at", SIZE_MAX);
    Step running(model_, {&sequence, 1});
    // Where it is stopped it is dropped, half done.
    if (!running.advance(workspace_, [&](const Progress&) { return --n_left > 0; })) return {};
    if (!sequence.result) return sequence.result;
    logits_file_.write(reinterpret_cast<const char*>(logits.data()),
                       static_cast<std::streamsize>(logits.size() * sizeof(float)));
    report(n_logit_rows, sequence.trace);
    return {};
  }

  json result() {
    json computed = json::array();  // per layer, the positions that have a column, ascending
    json dropped = json::array();   // per layer, those whose state its Aux Cache holds
    for (size_t layer = 0; layer < model_.config.n_layers; ++layer) {
      const LayerColumns& columns = cache_.columns(layer);
      const AuxCache* aux = cache_.find_aux(layer);
      computed.push_back(positions_where([&](int32_t position) { return columns.has(position); }));
      dropped.push_back(
          positions_where([&](int32_t position) { return aux != nullptr && aux->has(position); }));
    }
    return {{"isa", model_.kernels->name},   {"n_vocab", model_.config.n_vocab},
            {"n_tokens", cache_.n_tokens()}, {"computed", std::move(computed)},
            {"dropped", std::move(dropped)}, {"steps", steps_}};
  }

 private:
  template <class Predicate>
  json positions_where(Predicate holds) const {
    json positions = json::array();
    for (size_t p = 0; p < cache_.n_tokens(); ++p) {
      if (holds(static_cast<int32_t>(p))) positions.push_back(p);
    }
    return positions;
  }

  void report(size_t n_logit_rows, const StepTrace& trace) {
    json stages = json::array();
    for (const StageTrace& stage : trace.stages) {
      stages.push_back({{"layer", stage.layer}, {"kept", stage.kept}, {"revived", stage.revived}});
    }
    json n_columns = json::array();  // per layer; grows by one each time a token is computed there
    for (size_t layer = 0; layer < model_.config.n_layers; ++layer) {
      n_columns.push_back(cache_.columns(layer).n_columns());
    }
    steps_.push_back({{"logit_rows", n_logit_rows},
                      {"stages", std::move(stages)},
                      {"n_revived", trace.n_revived},
                      {"attention_kept", trace.attention_kept},
                      {"n_columns", std::move(n_columns)}});
  }

  const Model& model_;
  Workspace workspace_;
  SequenceCache cache_;
  LazyOptions options_;
  std::vector<ScheduleStage> schedule_;
  std::ofstream logits_file_;
  json steps_ = json::array();
};

Result<void> probe(const json& request, const std::string& prefix) {
  auto kernels = kernels_for(request.value("isa", ""));
  if (!kernels) return tl::unexpected(kernels.error());
  auto file = gguf::File::open(request.at("model").get<std::string>());
  if (!file) return tl::unexpected(file.error());
  ThreadPool pool(request.value("threads", size_t{0}));
  const auto bits = request.value("activation_bits", 16) == 8 ? ActivationBits::k8 : ActivationBits::k16;
  auto model = Model::load(*file, **kernels, bits, Team::all(pool));
  if (!model) return tl::unexpected(model.error());
  const ModelConfig& config = model->config;
  ColumnType column_type = (*kernels)->column_type;
  if (request.contains("column_type"))
    column_type = kColumnTypes.at(request["column_type"]).get<ColumnType>();
  SequenceCache::Shape shape{config.n_layers,
                             config.n_kv_heads,
                             config.head_dim,
                             config.d_model,
                             request.value("context_tokens", size_t{4096}),
                             column_type};
  if (request.contains("stream")) {
    shape.n_pinned = request["stream"].at("sinks").get<size_t>();
    shape.window_tokens = request["stream"].at("window").get<size_t>();
  }
  Probe session(*model, pool.n_threads(), shape, prefix);
  if (auto set = session.set_lazy(request.value("lazy", json::object())); !set) return set;
  for (const json& step : request.at("steps")) {
    if (auto done = session.run(step); !done) return done;
  }
  std::ofstream(prefix + ".json") << session.result() << '\n';
  return {};
}

}  // namespace
}  // namespace lazyfill

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: lazyfill_probe REQUEST.json PREFIX\n";
    return 2;
  }
  try {
    std::ifstream file(argv[1]);
    if (auto done = lazyfill::probe(nlohmann::json::parse(file), argv[2]); !done) {
      std::cerr << done.error().message << '\n';
      return 2;
    }
  } catch (const std::exception& error) {  // a malformed request: JSON's own sentence says where
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
