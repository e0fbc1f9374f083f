// A day of a server in small: sequences arrive, answer, go on, are put aside, stopped, dropped, fail and run
// out of room, in an order that a seed gives. Whatever happens around it, each has the bits of one alone.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>

#include "engine/step.h"
#include "engine/tiny_engine.h"
#include "gguf/file.h"
#include "pruning/policy.h"
#include "pruning/schedule.h"

namespace lazyfill {
namespace {

// Sanitisers make everything ten times as slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kSequences = 150;
#else
constexpr size_t kSequences = 2000;
#endif
constexpr size_t kMostInAStep = 8;

Model load_model(std::optional<gguf::File>& file) {
  const std::string path = testing::TempDir() + "random_steps_" + std::to_string(getpid()) + ".gguf";
  TinyModelFile tiny({.n_layers = 5, .d_model = 64, .d_ff = 96, .context_length = 2048, .q8 = true});
  tiny.set_float("token_embd.weight", size_t{kPoison} * 64, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(tiny.save(path));
  file.emplace(*gguf::File::open(path));
  unlink(path.c_str());
  Model model = *Model::load(*file, **kernels_for(""), ActivationBits::k16, Team::alone());
  model.config.layers[2].window = 40;
  return model;
}

// What a sequence is told to do, which alone decides what it computes.
struct Script {
  std::string schedule = "off";
  LazyOptions lazy;
  std::vector<std::vector<int32_t>> turns;  // the prompt, then tokens of the answer, and further prompts
  size_t capacity_tokens = 0;               // may be too few
};

class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}
  size_t below(size_t n) { return random_() % n; }
  bool once_in(size_t n) { return below(n) == 0; }

  Script script() {
    Script script;
    const size_t way = below(policies().size() + 2);
    if (way < policies().size()) {
      const PolicyInfo& info = policies()[way];
      script.lazy.policy = info.policy;
      if (info.leaves == Leaves::kRows) script.schedule = once_in(2) ? "0:0.5" : "1:0.5,3:0.6";
      if (once_in(4)) script.lazy.revival = Revival::all();
      limit_revivals(script.lazy);
    } else if (way == policies().size()) {
      script.lazy.attention_mass = 0.8F;
      if (once_in(2)) script.schedule = "3:0.5";
    }
    const bool is_sparse = script.lazy.attention_mass.has_value();
    size_t n_prompt = 1 + below(60);
    if (once_in(50)) n_prompt = 150 + below(100);
    if (is_sparse && once_in(15)) n_prompt = 600 + below(250);
    size_t n_tokens = n_prompt;
    script.turns.push_back(some_tokens(n_prompt, next_seed_++));
    for (size_t n = below(6); n > 0; --n) {
      script.turns.push_back(some_tokens(once_in(6) ? 2 + below(20) : 1, next_seed_++));
      n_tokens += script.turns.back().size();
    }
    script.capacity_tokens = once_in(8) ? n_prompt + below(n_tokens - n_prompt + 1) : n_tokens + below(3);
    return script;
  }

 private:
  std::mt19937 random_;
  uint32_t next_seed_ = 1;
};

class Sequence {
 public:
  Sequence(const Model& model, Script script)
      : script_(std::move(script)),
        cache_({.n_layers = model.config.n_layers,
                .n_kv_heads = model.config.n_kv_heads,
                .head_dim = model.config.head_dim,
                .d_model = model.config.d_model,
                .capacity_tokens = script_.capacity_tokens,
                .column_type = model.kernels->column_type}),
        stages_(*parse_schedule(script_.schedule, model.config.n_layers, model.config.prunable_layers())),
        logits_(model.config.n_vocab) {}

  const Script& script() const { return script_; }
  const std::vector<float>& seen() const { return seen_; }
  const std::vector<std::vector<int32_t>>& kept() const { return kept_; }
  // Nothing is left to do, or there is no room for it.
  bool has_ended() const {
    return turn_ == script_.turns.size() ||
           cache_.n_tokens() + script_.turns[turn_].size() > script_.capacity_tokens;
  }
  bool is_whole() const { return turn_ == script_.turns.size(); }
  bool is_new() const { return turn_ == 0; }

  SequenceStep step(bool poisoned = false) {
    tokens_ = script_.turns[turn_];
    if (poisoned) tokens_.back() = kPoison;
    const auto n = static_cast<TokenIndex>(cache_.n_tokens());
    const auto n_new = static_cast<TokenIndex>(tokens_.size());
    voters_.clear();
    end_ = n_new > 1 || is_new() ? cache_.n_tokens() + tokens_.size() : prompt_end_;
    if (n_new > 1) voters_ = {n + n_new / 2 - 1, n + n_new - 1};
    before_ = {cache_.n_tokens(), cache_.kv_bytes(), cache_.aux_bytes()};
    return {.cache = cache_,
            .tokens = tokens_,
            .plan = {.schedule = stages_, .lazy = &script_.lazy, .prompt_end = end_, .voters = voters_},
            .logits = logits_};
  }

  // A step has ended, well or not.
  void note(const SequenceStep& step) {
    if (!step.result) return expect_untouched();
    prompt_end_ = end_;
    ++turn_;
    seen_.insert(seen_.end(), logits_.begin(), logits_.end());
    for (const StageTrace& stage : step.trace.stages) kept_.push_back(stage.kept);
  }

  void expect_untouched() const {
    EXPECT_EQ(cache_.n_tokens(), before_[0]);
    EXPECT_EQ(cache_.kv_bytes(), before_[1]);
    EXPECT_EQ(cache_.aux_bytes(), before_[2]);
  }

 private:
  Script script_;
  SequenceCache cache_;
  std::vector<ScheduleStage> stages_;
  std::vector<float> logits_;
  size_t turn_ = 0;
  size_t prompt_end_ = 0;
  size_t end_ = 0;  // prompt_end, once the step has ended well
  std::vector<int32_t> tokens_;
  std::vector<TokenIndex> voters_;
  std::array<uint64_t, 3> before_ = {};
  std::vector<float> seen_;  // all logits so far
  std::vector<std::vector<int32_t>> kept_;
};

constexpr auto kAlways = [](const Progress& /*progress*/) { return true; };

// Some sequences in a step, with what is to go wrong.
class Together {
 public:
  Together(const Model& model, std::vector<Sequence*> sequences, Random& random)
      : sequences_(std::move(sequences)), stops_(sequences_.size()), fails_(sequences_.size()) {
    for (size_t i = 0; i < sequences_.size(); ++i) {
      fails_[i] = random.once_in(25);
      steps_.push_back(sequences_[i]->step(fails_[i]));
      steps_[i].stop = stops_[i].get_token();
      stops_after_.push_back(random.once_in(25) ? random.below(30) : SIZE_MAX);
    }
    step_ = std::make_unique<Step>(model, steps_);
  }

  const std::vector<Sequence*>& sequences() const { return sequences_; }

  // For n more blocks; true when all is done.
  bool advance(Workspace& workspace, size_t n_blocks) {
    const bool done = step_->advance(workspace, [&](const Progress&) {
      for (size_t i = 0; i < stops_.size(); ++i) {
        if (n_asked_ == stops_after_[i]) stops_[i].request_stop();
      }
      ++n_asked_;
      return n_blocks-- > 0;
    });
    if (done) note();
    return done;
  }

  // Half way.
  void drop() {
    step_.reset();
    for (const Sequence* sequence : sequences_) sequence->expect_untouched();
  }

  size_t n_failed() const { return n_failed_; }
  size_t n_stopped() const { return n_stopped_; }

 private:
  void note() {
    for (size_t i = 0; i < steps_.size(); ++i) {
      sequences_[i]->note(steps_[i]);
      if (steps_[i].result) {
        EXPECT_FALSE(fails_[i]);
      } else if (steps_[i].result.error().code == ErrorCode::kCancelled) {
        EXPECT_TRUE(stops_[i].stop_requested());
        ++n_stopped_;
      } else {
        EXPECT_EQ(steps_[i].result.error().code, ErrorCode::kInvalidFile);
        EXPECT_TRUE(fails_[i]);
        ++n_failed_;
      }
    }
  }

  std::vector<Sequence*> sequences_;
  std::vector<std::stop_source> stops_;
  std::vector<bool> fails_;
  std::vector<size_t> stops_after_;  // questions
  std::vector<SequenceStep> steps_;
  std::unique_ptr<Step> step_;
  size_t n_asked_ = 0;
  size_t n_failed_ = 0;
  size_t n_stopped_ = 0;
};

class Day {
 public:
  Day(const Model& model, uint32_t seed) : model_(model), random_(seed) {}

  void run() {
    while ((n_arrived_ < kSequences || !active_.empty() || aside_) && !testing::Test::HasFailure()) {
      while (n_arrived_ < kSequences && active_.size() < 12 && !random_.once_in(3)) arrive();
      if (!aside_ && !active_.empty() && random_.once_in(3)) aside_ = take_together(2, true);
      if (auto now = take_together(1 + random_.below(kMostInAStep), false)) {
        EXPECT_TRUE(now->advance(workspace_, SIZE_MAX));
        give_back(*now);
      }
      if (aside_) go_on_with_aside();
    }
  }

  size_t n_whole = 0;
  size_t n_without_room = 0;
  size_t n_failed = 0;
  size_t n_stopped = 0;
  size_t n_dropped = 0;
  size_t n_put_aside = 0;

 private:
  void arrive() {
    ++n_arrived_;
    active_.push_back(std::make_unique<Sequence>(model_, random_.script()));
  }

  // Up to so many of those that wait, at random; the others wait on.
  std::unique_ptr<Together> take_together(size_t most, bool prompts_only) {
    std::vector<Sequence*> taken;
    for (size_t n = active_.size(); n > 0 && taken.size() < most; --n) {
      std::unique_ptr<Sequence> one = std::move(active_.front());
      active_.pop_front();
      if (random_.once_in(4) || (prompts_only && !one->is_new())) {
        active_.push_back(std::move(one));
        continue;
      }
      taken.push_back(one.get());
      in_a_step_.push_back(std::move(one));
    }
    return taken.empty() ? nullptr : std::make_unique<Together>(model_, taken, random_);
  }

  void give_back(const Together& together) {
    n_failed += together.n_failed();
    n_stopped += together.n_stopped();
    for (const Sequence* sequence : together.sequences()) {
      const auto at = std::find_if(in_a_step_.begin(), in_a_step_.end(),
                                   [&](const auto& one) { return one.get() == sequence; });
      std::unique_ptr<Sequence> one = std::move(*at);
      in_a_step_.erase(at);
      if (one->has_ended()) {
        compare(*one);
      } else {
        active_.push_back(std::move(one));
      }
    }
  }

  void go_on_with_aside() {
    if (random_.once_in(40)) {
      aside_->drop();
      ++n_dropped;
    } else if (!aside_->advance(workspace_, 1 + random_.below(6))) {
      ++n_put_aside;
      return;
    }
    give_back(*aside_);
    aside_.reset();
  }

  void compare(const Sequence& sequence) {
    ++(sequence.is_whole() ? n_whole : n_without_room);
    Sequence alone(model_, sequence.script());
    while (!alone.has_ended()) {
      std::vector<SequenceStep> steps = {alone.step()};
      Step step(model_, steps);
      ASSERT_TRUE(step.advance(workspace_alone_, kAlways));
      ASSERT_TRUE(steps[0].result);
      alone.note(steps[0]);
    }
    ASSERT_EQ(sequence.kept(), alone.kept());
    ASSERT_TRUE(sequence.seen() == alone.seen())
        << sequence.script().turns[0].size() << " tokens, " << sequence.script().schedule;
  }

  const Model& model_;
  Random random_;
  Workspace workspace_{2};
  Workspace workspace_alone_{1};
  size_t n_arrived_ = 0;
  std::deque<std::unique_ptr<Sequence>> active_;
  std::vector<std::unique_ptr<Sequence>> in_a_step_;
  std::unique_ptr<Together> aside_;
};

TEST(RandomSteps, EveryAnswerIsThatOfASequenceAlone) {
  std::optional<gguf::File> file;
  const Model model = load_model(file);
  Day day(model, 1);
  day.run();
  EXPECT_EQ(day.n_whole + day.n_without_room, kSequences);
  // All of it happened.
  EXPECT_GT(day.n_whole, kSequences / 2);
  for (size_t n : {day.n_without_room, day.n_failed, day.n_stopped, day.n_dropped, day.n_put_aside})
    EXPECT_GT(n, 0U);
}

}  // namespace
}  // namespace lazyfill
