#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

namespace lazyfill::server {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250};
const Buckets kTokenSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};
const Buckets kShares = {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999};
const Buckets kTokens = {16, 64, 256, 1024, 2048, 4096, 8192, 16384, 32768, 131072};

}  // namespace

struct Metrics::Impl {
  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
  }
  prometheus::Counter& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
  }
  prometheus::Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("lazyfill_requests_total")
          .Help("Answers that have ended, by HTTP status; 499: the client went away")
          .Register(registry);
  prometheus::Histogram& ttft =
      histogram("lazyfill_time_to_first_token_seconds", "From the request to its first token", kSeconds);
  prometheus::Histogram& per_token =
      histogram("lazyfill_time_per_output_token_seconds", "Of an answer's tokens after the first, on average",
                kTokenSeconds);
  prometheus::Histogram& queue = histogram("lazyfill_request_queue_time_seconds",
                                           "From the request until there was room for it", kSeconds);
  prometheus::Histogram& prefill =
      histogram("lazyfill_request_prefill_time_seconds", "Computing the prompt", kSeconds);
  prometheus::Histogram& total =
      histogram("lazyfill_e2e_request_latency_seconds", "From the request to its last token", kSeconds);
  prometheus::Histogram& computed =
      histogram("lazyfill_prompt_computed_share",
                "Of all tokens of a prompt in all layers, the share ever computed", kShares);
  prometheus::Histogram& cached_share = histogram(
      "lazyfill_prompt_cached_share", "Of a prompt's tokens, the share found in the prompt cache", kShares);
  prometheus::Histogram& prompt_length =
      histogram("lazyfill_request_prompt_tokens", "Tokens of a prompt", kTokens);
  prometheus::Histogram& answer_length =
      histogram("lazyfill_request_generation_tokens", "Tokens of an answer", kTokens);
  prometheus::Counter& prompt_tokens = counter("lazyfill_prompt_tokens_total", "Tokens of prompts");
  prometheus::Counter& cached_tokens =
      counter("lazyfill_prompt_tokens_cached_total", "Of these, found in the prompt cache");
  prometheus::Counter& generated_tokens = counter("lazyfill_generation_tokens_total", "Tokens of answers");
  prometheus::Gauge& running = gauge("lazyfill_num_requests_running", "Requests that are being computed");
  prometheus::Gauge& prefilling =
      gauge("lazyfill_num_requests_prefilling", "Of these, prompts that have no token yet");
  prometheus::Gauge& waiting = gauge("lazyfill_num_requests_waiting", "Requests in the queue");
  prometheus::Gauge& kv_usage =
      gauge("lazyfill_kv_cache_usage_ratio",
            "Memory for columns that running requests have reserved, share of --kv-memory");
  prometheus::Gauge& prefix_bytes = gauge("lazyfill_prefix_cache_bytes", "Memory of the prompt cache");
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  impl_->requests.Add({{"status", "200"}});  // so that dashboards find it before the first answer
}
Metrics::~Metrics() = default;

void Metrics::count(const AnswerRecord& record) {
  constexpr int kClientClosed = 499;
  const int status = record.is_cancelled && record.status != 200 ? kClientClosed : record.status;
  impl_->requests.Add({{"status", std::to_string(status)}}).Increment();
  impl_->generated_tokens.Increment(static_cast<double>(record.n_generated_tokens));
  if (record.status != 200) return;
  const auto n_prompt = static_cast<double>(record.n_prompt_tokens);
  const auto n_generated = static_cast<double>(record.n_generated_tokens);
  const Timings& timings = record.timings;
  impl_->prompt_tokens.Increment(n_prompt);
  impl_->cached_tokens.Increment(static_cast<double>(record.n_cached_tokens));
  impl_->ttft.Observe(timings.ttft_ms / 1000);
  if (n_generated > 1) impl_->per_token.Observe(timings.decode_ms / 1000 / (n_generated - 1));
  impl_->queue.Observe(timings.queue_ms / 1000);
  impl_->prefill.Observe(timings.prefill_ms / 1000);
  impl_->total.Observe(timings.total_ms / 1000);
  impl_->computed.Observe(record.computed_share);
  impl_->cached_share.Observe(static_cast<double>(record.n_cached_tokens) / std::max(1.0, n_prompt));
  impl_->prompt_length.Observe(n_prompt);
  impl_->answer_length.Observe(n_generated);
}

std::string Metrics::text(const SchedulerStatus& status) {
  impl_->running.Set(static_cast<double>(status.n_prefilling + status.n_decoding));
  impl_->prefilling.Set(static_cast<double>(status.n_prefilling));
  impl_->waiting.Set(static_cast<double>(status.n_queued));
  const auto bound = static_cast<double>(std::max<uint64_t>(status.kv_memory_bytes, 1));
  impl_->kv_usage.Set(static_cast<double>(status.kv_reserved_bytes) / bound);
  impl_->prefix_bytes.Set(static_cast<double>(status.prefix_bytes));
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace lazyfill::server
