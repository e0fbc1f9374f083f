#include "conversation/said_tokens.h"

#include <algorithm>
#include <utility>

namespace lazyfill {
namespace {

bool same_spans(const std::vector<TextSpan>& a, const std::vector<TextSpan>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TextSpan& one, const TextSpan& other) {
    return one.begin == other.begin && one.end == other.end;
  });
}

bool begins_with(const RenderedChat& chat, const RenderedChat& begin) {
  return chat.text.starts_with(begin.text) &&
         same_spans(begin_of(chat, begin.text.size()).template_spans, begin.template_spans);
}

}  // namespace

RenderedChat begin_of(const RenderedChat& chat, size_t n_bytes) {
  RenderedChat begin{chat.text.substr(0, n_bytes), {}};
  for (const TextSpan& span : chat.template_spans)
    if (span.begin < n_bytes) begin.template_spans.push_back({span.begin, std::min(span.end, n_bytes)});
  return begin;
}

RenderedChat rest_of(const RenderedChat& chat, size_t n_bytes) {
  RenderedChat rest{chat.text.substr(n_bytes), {}};
  for (const TextSpan& span : chat.template_spans) {
    if (span.end > n_bytes)
      rest.template_spans.push_back({std::max(span.begin, n_bytes) - n_bytes, span.end - n_bytes});
  }
  return rest;
}

SaidTokens::SaidTokens(Engine engine, size_t max_bytes) : engine_(std::move(engine)), max_bytes_(max_bytes) {
  const auto n_tokens = static_cast<int32_t>(engine_.info().n_tokens);
  for (int32_t id = 0; id < n_tokens; ++id)
    if (engine_.is_end(id)) end_names_.push_back(engine_.piece(id));
}

void SaidTokens::remember(const RenderedChat& said, size_t n_prompt_bytes, std::vector<int32_t> tokens) {
  if (said.template_spans.empty()) return;
  const TextSpan& last = said.template_spans.back();
  const std::string_view tail = std::string_view(said.text).substr(last.begin, last.end - last.begin);
  size_t end = std::string::npos;
  for (const std::string& name : end_names_) {
    const size_t at = name.empty() ? std::string_view::npos : tail.find(name);
    if (at != std::string_view::npos) end = std::min(end, last.begin + at);
  }
  if (end == std::string::npos || end < n_prompt_bytes) return;  // a template that ends turns otherwise
  Said one{begin_of(said, end), std::move(tokens)};
  const std::scoped_lock lock(mutex_);
  if (one.bytes() > max_bytes_) return;
  // A turn takes the place of the turns before it.
  for (auto other = said_.begin(); other != said_.end();)
    other = begins_with(one.begin, other->begin) ? forget(other) : std::next(other);
  n_bytes_ += one.bytes();
  said_.push_front(std::move(one));
  while (n_bytes_ > max_bytes_) forget(std::prev(said_.end()));
}

std::list<SaidTokens::Said>::iterator SaidTokens::forget(std::list<Said>::iterator one) {
  n_bytes_ -= one->bytes();
  return said_.erase(one);
}

Result<std::vector<int32_t>> SaidTokens::tokenize(const RenderedChat& chat) {
  std::vector<int32_t> tokens;
  size_t n_bytes = 0;
  {
    const std::scoped_lock lock(mutex_);
    auto longest = said_.end();
    for (auto one = said_.begin(); one != said_.end(); ++one) {
      if (one->begin.text.size() > n_bytes && begins_with(chat, one->begin)) {
        longest = one;
        n_bytes = one->begin.text.size();
      }
    }
    if (longest != said_.end()) {
      tokens = longest->tokens;
      said_.splice(said_.begin(), said_, longest);
    }
  }
  if (n_bytes == 0) return engine_.tokenize_chat(chat);
  auto rest = engine_.tokenize_chat(rest_of(chat, n_bytes));
  if (!rest) return rest;
  tokens.insert(tokens.end(), rest->begin(), rest->end());
  return tokens;
}

}  // namespace lazyfill
