// A scheduler that begins again goes on from what the one before it left on disk.
#include "engine/prefix_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

namespace fs = std::filesystem;

class StateFolder : public testing::Test {
 protected:
  StateFolder() : folder_(testing::TempDir() + "state_" + std::to_string(getpid())) {
    fs::remove_all(folder_);
  }
  ~StateFolder() override { fs::remove_all(folder_); }

  SchedulerOptions options(uint64_t kv_memory_bytes = uint64_t{1} << 30) const {
    return {.kv_memory_bytes = kv_memory_bytes, .state_folder = folder_};
  }
  static Request asked(const std::vector<int32_t>& tokens, const LazyOptions& lazy) {
    Request request = request_of(1, 1, 4, lazy);
    request.tokens = tokens;
    request.cache_prompt = true;
    return request;
  }
  size_t n_files() const {
    size_t n = 0;
    for (const auto& entry : fs::directory_iterator(folder_))
      n += entry.path().extension() == ".prefix" ? 1 : 0;
    return n;
  }

  std::string folder_;
};

std::vector<int32_t> longer(std::vector<int32_t> tokens, const std::vector<int32_t>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

TEST_F(StateFolder, AConversationGoesOnAfterARestart) {
  for (const LazyOptions& lazy : {kDense, kFocused}) {
    const std::vector<int32_t> first = some_tokens(450, lazy.schedule.size());
    Generation expected;
    std::vector<int32_t> second;
    {
      Scheduler one = scheduler_of({});
      const Generation answer = *one.generate(asked(first, lazy));
      second = longer(longer(first, answer.token_ids), some_tokens(9, 5));
      expected = *one.generate(asked(second, lazy));
    }
    {
      Scheduler before = scheduler_of(options());
      EXPECT_TRUE(before.generate(asked(first, lazy)));
    }
    Scheduler after = scheduler_of(options());
    EXPECT_EQ(after.notes(), std::vector<std::string>());
    const Generation got = *after.generate(asked(second, lazy));
    EXPECT_EQ(got.prefix.n_cached_tokens, expected.prefix.n_cached_tokens);
    EXPECT_GT(got.prefix.n_cached_tokens, 440U);
    expect_same(got, expected);
  }
}

TEST_F(StateFolder, WhatLeavesTheMemoryComesBack) {
  Scheduler scheduler = scheduler_of(options(uint64_t{1} << 20));
  for (uint32_t i = 0; i < 12; ++i) ASSERT_TRUE(scheduler.generate(asked(some_tokens(150, i), kDense)));
  EXPECT_LE(scheduler.status().prefix_bytes, uint64_t{1} << 20);
  EXPECT_GT(n_files(), 5U);
  EXPECT_EQ(scheduler.generate(asked(some_tokens(150, 0), kDense))->prefix.n_cached_tokens, 149U);
}

TEST_F(StateFolder, AnotherModelsFilesAreLeftAlone) {
  {
    Scheduler before = scheduler_of(options());
    ASSERT_TRUE(before.generate(asked(some_tokens(50, 1), kDense)));
  }
  SchedulerOptions other = options();
  other.context_tokens = 300;  // positions may differ
  Scheduler after = scheduler_of(other);
  ASSERT_EQ(after.notes().size(), 1U);
  EXPECT_NE(after.notes()[0].find("another build"), std::string::npos);
  EXPECT_EQ(after.generate(asked(some_tokens(50, 1), kDense))->prefix.n_cached_tokens, 0U);
  EXPECT_EQ(n_files(), 1U);
}

TEST_F(StateFolder, ADamagedFileIsSaidAndNotUsed) {
  {
    Scheduler before = scheduler_of(options());
    ASSERT_TRUE(before.generate(asked(some_tokens(50, 1), kDense)));
  }
  for (const auto& entry : fs::directory_iterator(folder_)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-100, std::ios::end);
    file.put('x');
  }
  Scheduler after = scheduler_of(options());
  EXPECT_EQ(after.generate(asked(some_tokens(50, 1), kDense))->prefix.n_cached_tokens, 0U);
  ASSERT_TRUE(after.generate(asked(some_tokens(50, 2), kDense)));
  ASSERT_EQ(after.notes().size(), 1U);
  EXPECT_NE(after.notes()[0].find("checksum"), std::string::npos);
}

TEST_F(StateFolder, TheOldestLeaveWhereThereAreTooManyBytes) {
  SchedulerOptions small = options();
  small.state_bytes = 400000;
  {
    Scheduler scheduler = scheduler_of(small);
    for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(scheduler.generate(asked(some_tokens(150, i), kDense)));
  }
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) bytes += fs::file_size(entry);
  EXPECT_LE(bytes, 400000U);
  EXPECT_GE(n_files(), 1U);
  EXPECT_LT(n_files(), 8U);
}

TEST_F(StateFolder, OnlyTheEndOfAConversationIsWritten) {
  {
    Scheduler scheduler = scheduler_of(options());
    std::vector<int32_t> tokens = some_tokens(60, 1);
    for (uint32_t turn = 0; turn < 4; ++turn) {
      const auto answer = scheduler.generate(asked(tokens, kFocused));
      ASSERT_TRUE(answer);
      tokens = longer(longer(tokens, answer->token_ids), some_tokens(9, 10 + turn));
    }
  }
  EXPECT_EQ(n_files(), 1U);
}

TEST_F(StateFolder, AFileInItsPlaceIsAnError) {
  std::ofstream(folder_) << "x";
  const auto scheduler = Scheduler::start(tiny_engine(), options());
  ASSERT_FALSE(scheduler);
  EXPECT_NE(scheduler.error().message.find("--state"), std::string::npos);
}

}  // namespace
}  // namespace lazyfill
