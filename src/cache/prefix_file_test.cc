// What comes back from disk is what went there, and no file does harm.
#include "cache/prefix_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/prefix_case.h"

namespace lazyfill {
namespace {

class PrefixFile : public testing::Test {
 protected:
  PrefixFile() : path_(testing::TempDir() + "prefix_file_" + std::to_string(getpid()) + ".prefix") {
    form_.fingerprint = "this build";
    form_.shape = kShape;
    form_.n_vocab = 10000;
  }
  ~PrefixFile() override { std::filesystem::remove(path_); }

  // A sequence of 50 tokens, the first n_dense dense, goes to the file.
  void save(const PrefixPlan& plan, size_t n_dense) {
    PrefixStore store(kLayers);
    SequenceCache cache(kShape);
    if (!plan.is_dense(kLayers)) cache.keep_entered(plan.first_choosing);
    compute(cache, 50, plan.is_dense(kLayers) ? 50 : n_dense);
    if (!plan.is_dense(kLayers)) {
      cache.votes(1).set(0, std::vector<float>(50, 0.5F));
      cache.save_for_revival(7);
    }
    const std::vector<int32_t> tokens = tokens_of(50);
    store.keep(cache, {tokens, 45, n_dense, plan, "salt"});
    store.for_each_kept([&](const StoredSequence& sequence) {
      const auto written = write_prefix(path_, sequence, form_);
      ASSERT_TRUE(written) << written.error().message;
    });
  }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  // With the checksum that the bytes before it have: somebody meant it.
  void write_signed(std::string bytes) const {
    bytes.resize(bytes.size() - 8);
    const uint64_t checksum = XXH3_64bits(bytes.data(), bytes.size());
    bytes.append(reinterpret_cast<const char*>(&checksum), 8);
    write(bytes);
  }
  std::string why() const {
    const auto loaded = read_prefix(path_, form_);
    return loaded ? "" : loaded.error().message;
  }

  std::string path_;
  PrefixForm form_;
};

TEST_F(PrefixFile, WhatComesBackIsWhatWentThere) {
  for (const auto& [plan, n_dense] :
       {std::pair(kDense, size_t{50}), std::pair(kLazy, size_t{0}), std::pair(kLazy, size_t{20})}) {
    save(plan, n_dense);
    const auto name = read_prefix_name(path_, form_);
    ASSERT_TRUE(name) << name.error().message;
    EXPECT_EQ(name->tokens, tokens_of(50));
    EXPECT_EQ(name->salt, "salt");
    auto loaded = read_prefix(path_, form_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    PrefixStore store(kLayers);
    store.restore((*loaded)->sequence, std::move((*loaded)->own), std::move((*loaded)->votes), kShape);
    SequenceCache cache(kShape);
    const auto asked = tokens_of(60);
    const auto hit = store.fill(cache, {asked, plan, "salt", 1});
    EXPECT_EQ(hit.n_tokens, 50U);
    const bool is_lazy = !plan.is_dense(kLayers);
    for (size_t layer = 0; layer < kLayers; ++layer) {
      EXPECT_EQ(cache.columns(layer).n_columns(), is_lazy && layer > 1 ? n_dense + (50 - n_dense) / 2 : 50);
      for (size_t token : {0, 18, 48}) EXPECT_EQ(key_of(cache, layer, token), 1000.0F * layer + token);
    }
    if (!is_lazy) continue;
    EXPECT_EQ(cache.find_aux(1)->size(), (50 - n_dense) / 2);
    EXPECT_EQ(cache.find_aux(1)->state_of(49)[0], 49);
    EXPECT_EQ(cache.votes(1).of(0, 50), std::vector<float>(50, 0.5F));
    EXPECT_EQ(cache.saved_for_revival(), 7);
  }
}

// Longer than a piece, and into a store whose pieces are cut elsewhere.
TEST_F(PrefixFile, InPieces) {
  for (const auto& [plan, n_dense] : {std::pair(kDense, size_t{700}), std::pair(kLazy, size_t{300})}) {
    SequenceCache cache(kShape);
    if (!plan.is_dense(kLayers)) cache.keep_entered(plan.first_choosing);
    compute(cache, 700, n_dense);
    PrefixStore before(kLayers);
    before.keep(cache, {tokens_of(700), 690, n_dense, plan, "salt"});
    before.for_each_kept(
        [&](const StoredSequence& sequence) { ASSERT_TRUE(write_prefix(path_, sequence, form_)); });
    for (const size_t n_other : {0, 100, 400}) {
      PrefixStore after(kLayers);
      SequenceCache other(kShape);
      compute(other, n_other, n_other);
      if (n_other > 0) after.keep(other, {tokens_of(n_other), n_other, n_other, kDense, "salt"});
      auto loaded = read_prefix(path_, form_);
      ASSERT_TRUE(loaded) << loaded.error().message;
      after.restore((*loaded)->sequence, std::move((*loaded)->own), std::move((*loaded)->votes), kShape);
      SequenceCache filled(kShape);
      const auto asked = tokens_of(710);
      EXPECT_EQ(after.fill(filled, {asked, plan, "salt", 1}).n_tokens, 700U);
      for (size_t layer = 0; layer < kLayers; ++layer) {
        for (size_t token = 0; token < 700; token += 2)
          ASSERT_EQ(key_of(filled, layer, token), 1000.0F * layer + token);
      }
      if (filled.find_aux(1) == nullptr) continue;
      for (TokenIndex token = 301; token < 700; token += 2)
        ASSERT_EQ(filled.find_aux(1)->state_of(token)[0], token);
    }
  }
}

TEST_F(PrefixFile, OneForAnotherModelOrBuildIsRefused) {
  save(kDense, 50);
  form_.fingerprint = "another build";
  EXPECT_NE(why().find("another model or by another build"), std::string::npos);
  EXPECT_FALSE(read_prefix_name(path_, form_));
}

TEST_F(PrefixFile, CutAnywhere) {
  save(kLazy, 20);
  const std::string whole = bytes();
  for (size_t n = 0; n < whole.size(); n += 16) {
    write(whole.substr(0, n));
    EXPECT_NE(why(), "") << n;
  }
  write(whole + "x");
  EXPECT_NE(why(), "");
  write(whole);
  EXPECT_EQ(why(), "");
}

TEST_F(PrefixFile, AnyBitFlipped) {
  save(kLazy, 20);
  const std::string whole = bytes();
  for (size_t at = 0; at < whole.size(); at += at < 600 ? 1 : 97) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    write(flipped);
    EXPECT_NE(why(), "") << at;
  }
}

// Somebody changed the head and made the checksum fit.
TEST_F(PrefixFile, HeadsThatLie) {
  save(kLazy, 20);
  const std::string whole = bytes();
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = whole;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    uint64_t n_head = 0;
    std::memcpy(&n_head, changed.data() + 8, 8);
    n_head += to.size() - from.size();
    std::memcpy(changed.data() + 8, &n_head, 8);
    write_signed(changed);
    EXPECT_NE(why(), "") << to;
  };
  for (const char* n : {"-1", "18446744073709551615", "1e9", "51", "\"x\"", "null", "[]", "20.5"}) {
    for (const char* key : {"n_dense", "prompt_end"}) {
      const std::string is = std::string(key) + "\":" + (std::string(key) == "n_dense" ? "20" : "45");
      replaced(is, std::string(key) + "\":" + n);
    }
    replaced("\"first_choosing\":1", std::string("\"first_choosing\":") + n);
    replaced("own_columns\":[15", std::string("own_columns\":[") + n);
    replaced("own_left\":[0", std::string("own_left\":[") + n);
    replaced("has_votes\":[1", std::string("has_votes\":[") + n);
    replaced("tokens\":[0,1", std::string("tokens\":[0,") + n + "0000");
  }
  replaced("\"attention_mass\":1.0", "\"attention_mass\":-1.0");
  replaced("\"salt\"", "\"salz\"");
  replaced("own_columns\":[15,15]", "own_columns\":[15]");
}

TEST_F(PrefixFile, TokensThatDoNotBelongTogether) {
  save(kLazy, 20);
  const std::string whole = bytes();
  // The list of tokens of the first own layer: 20, 22, 24, ...
  const int32_t list[] = {20, 22, 24};
  const size_t at = whole.rfind(std::string(reinterpret_cast<const char*>(list), sizeof list));
  ASSERT_NE(at, std::string::npos);
  for (const int32_t value : {-1, 0, 21, 23, 50, std::numeric_limits<int32_t>::max()}) {
    std::string changed = whole;
    std::memcpy(changed.data() + at + 4, &value, 4);
    write_signed(changed);
    EXPECT_NE(why(), "") << value;
  }
}

TEST_F(PrefixFile, MoreTokensThanTheContext) {
  save(kDense, 50);
  form_.shape.capacity_tokens = 49;
  EXPECT_NE(why(), "");
  form_.shape.capacity_tokens = 50;
  EXPECT_EQ(why(), "");
}

TEST_F(PrefixFile, AFolderThatIsNone) {
  save(kDense, 50);
  const auto loaded = read_prefix(path_, form_);
  ASSERT_TRUE(loaded);
  const auto written = write_prefix(path_ + "/x", (*loaded)->sequence, form_);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("cannot write"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".part"));
}

}  // namespace
}  // namespace lazyfill
