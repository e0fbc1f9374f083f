// What the tests of hostile files share: a small model that lies, and what must hold whatever it says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "engine/tiny_model_file.h"
#include "lazyfill/engine.h"

namespace lazyfill {

inline constexpr unsigned kMostSeconds = 20;  // a hang is a failure; everything here takes milliseconds
inline constexpr long kMostGrowthKib = long{384}
                                       << 10;  // of the process; sanitisers keep freed memory for a while
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr char kModelShape[] = "where the metadata asks for";

inline long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class HostileFiles : public testing::Test {
 protected:
  void SetUp() override {
    alarm(kMostSeconds);
    peak_before_kib_ = peak_kib();
  }
  void TearDown() override {
    alarm(0);
    EXPECT_LT(peak_kib() - peak_before_kib_, kMostGrowthKib);
    std::filesystem::remove(path_);
  }

  Result<Engine> load(const TinyModelFile& file) {
    const auto saved = file.save(path_);
    EXPECT_TRUE(saved) << saved.error().message;
    return Engine::load(path_, {.n_threads = 2});
  }

  void expect_refused(const TinyModelFile& file, const std::string& message) {
    const auto engine = load(file);
    ASSERT_FALSE(engine);
    EXPECT_THAT(engine.error().message, testing::HasSubstr(message));
    EXPECT_THAT(engine.error().message, testing::Not(testing::HasSubstr("\n")));
  }

  static Result<Generation> answer(const Engine& engine, const std::string& schedule = "off") {
    SessionOptions options;
    options.context_tokens = 64;
    options.lazy.schedule = schedule;
    auto session = engine.start_session(options);
    if (!session) return tl::unexpected(session.error());
    auto tokens = engine.tokenize("the quick brown fox");
    if (!tokens) return tl::unexpected(tokens.error());
    GenerateOptions generate;
    generate.max_tokens = 3;
    return session->generate(*tokens, generate, {});
  }

  const std::string path_ = testing::TempDir() + "hostile_" + std::to_string(getpid()) + ".gguf";
  long peak_before_kib_ = 0;
};

struct Lie {
  const char* name;
  std::function<void(TinyModelFile&)> tell;
  const char* expected;  // part of the sentence
};
inline void PrintTo(const Lie& lie, std::ostream* out) {
  *out << lie.name;
}
using Tell = std::function<void(TinyModelFile&)>;

inline Tell with_uint(const std::string& key, uint64_t value) {
  return [=](TinyModelFile& file) { file.set_uint(key, value); };
}
inline Tell with_value(const std::string& key, const gguf::Value& value) {
  return [=](TinyModelFile& file) { file.set(key, value); };
}
inline Tell without(const std::string& key) {
  return [=](TinyModelFile& file) { file.metadata.erase(key); };
}
inline Tell without_tensor(const std::string& name) {
  return [=](TinyModelFile& file) { file.tensors.erase(name); };
}
template <class T>
inline Tell with_array(const std::string& key, const std::vector<T>& values) {
  return [=](TinyModelFile& file) { file.set_array(key, values); };
}

inline std::string name_of_lie(const testing::TestParamInfo<Lie>& info) {
  return info.param.name;
}

}  // namespace lazyfill
