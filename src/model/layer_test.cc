// The layer against its formula in double precision, and against itself: blocks, neighbours and pauses change
// no bit of a row.
#include "model/layer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

using Floats = std::vector<float>;
using Asks = std::function<bool(size_t thread, double layer_fraction)>;

constexpr size_t kDModel = 64;
constexpr size_t kHeads = 4;
constexpr size_t kKvHeads = 2;
constexpr size_t kHeadDim = 16;
constexpr size_t kDFf = 96;

ModelConfig config_of_one_layer() {
  ModelConfig config;
  config.n_layers = 1;
  config.d_model = kDModel;
  config.n_heads = kHeads;
  config.n_kv_heads = kKvHeads;
  config.head_dim = kHeadDim;
  config.d_ff = kDFf;
  config.rms_eps = 1e-5F;
  config.rope_dim = kHeadDim;
  config.attention_scale = 0.25F;
  config.layers.resize(1);
  return config;
}

Floats random_floats(size_t n, float size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  Floats values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// Weights in fp32, as they are and packed for one instruction set.
struct TestLayer {
  Floats q = random_floats(kHeads * kHeadDim * kDModel, 0.2F, 1);
  Floats k = random_floats(kKvHeads * kHeadDim * kDModel, 0.2F, 2);
  Floats v = random_floats(kKvHeads * kHeadDim * kDModel, 0.2F, 3);
  Floats o = random_floats(kDModel * kHeads * kHeadDim, 0.2F, 4);
  Floats gate = random_floats(kDFf * kDModel, 0.2F, 5);
  Floats up = random_floats(kDFf * kDModel, 0.2F, 6);
  Floats down = random_floats(kDModel * kDFf, 0.2F, 7);
  LayerWeights weights;

  explicit TestLayer(const Kernels& kernels) {
    weights.attention_norm = random_floats(kDModel, 1, 8);
    weights.ffn_norm = random_floats(kDModel, 1, 9);
    weights.q_bias = random_floats(kHeads * kHeadDim, 0.1F, 10);
    weights.v_bias = random_floats(kKvHeads * kHeadDim, 0.1F, 11);
    weights.down_bias = random_floats(kDModel, 0.1F, 12);
    const auto pack = [&](const Floats& values, size_t n_out) {
      const RawMatrix raw{gguf::TensorType::kF32, reinterpret_cast<const std::byte*>(values.data()), n_out,
                          values.size() / n_out};
      return std::move(*pack_matrix(kernels, raw, Team::alone()));
    };
    weights.q = pack(q, kHeads * kHeadDim);
    weights.k = pack(k, kKvHeads * kHeadDim);
    weights.v = pack(v, kKvHeads * kHeadDim);
    weights.o = pack(o, kDModel);
    weights.gate = pack(gate, kDFf);
    weights.up = pack(up, kDFf);
    weights.down = pack(down, kDModel);
  }
};

// Rows of one sequence, its first ones, and their columns.
struct Sequence {
  size_t n_rows;
  Floats hidden;
  Floats angles;
  Floats keys, values;  // [kv heads, n_rows, head_dim]
  std::vector<ColumnRange> ranges;
  std::vector<Piece> pieces;

  Sequence(size_t n, uint32_t seed)
      : n_rows(n),
        hidden(random_floats(n * kDModel, 1, seed)),
        keys(kKvHeads * n * kHeadDim),
        values(keys.size()) {
    for (size_t row = 0; row < n; ++row) {
      ranges.push_back({0, static_cast<uint32_t>(row + 1)});
      for (size_t i = 0; i < kHeadDim / 2; ++i) {
        const double angle =
            static_cast<double>(row) * std::pow(100, -2.0 * static_cast<double>(i) / kHeadDim);
        angles.push_back(static_cast<float>(std::cos(angle)));
        angles.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  Sequence(const Sequence&) = delete;

  std::byte* key_bytes() { return reinterpret_cast<std::byte*>(keys.data()); }
  std::byte* value_bytes() { return reinterpret_cast<std::byte*>(values.data()); }
};

class LayerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    kernels_ = *kernels_for(GetParam());
    layer_ = std::make_unique<TestLayer>(*kernels_);
  }

  // Both passes over all rows of the sequences together; `asks` as LayerContext::keep_going. What comes out
  // is in their hidden states. Returns how often the layer was put aside.
  size_t run(const std::vector<Sequence*>& sequences, size_t n_threads, const Asks& asks,
             size_t first_output = 0) {
    Floats hidden;
    Floats angles;
    std::vector<NewColumns> columns;
    std::vector<View> views;
    size_t n_rows = 0;
    for (Sequence* s : sequences) {
      hidden.insert(hidden.end(), s->hidden.begin(), s->hidden.end());
      angles.insert(angles.end(), s->angles.begin(), s->angles.end());
      const size_t end = n_rows + s->n_rows;
      columns.push_back({.row_begin = n_rows,
                         .row_end = end,
                         .keys = s->key_bytes(),
                         .values = s->value_bytes(),
                         .capacity = s->n_rows});
      const ColumnsView seen{ColumnType::kF32, s->key_bytes(), s->value_bytes(), s->n_rows};
      s->pieces = {{.columns = seen, .list = {.n = s->n_rows}, .ranges = s->ranges.data()}};
      views.push_back({.row_begin = n_rows,
                       .row_end = end,
                       .first_output = n_rows + first_output,
                       .form = form_of_rows(s->n_rows),
                       .pieces = s->pieces});
      n_rows = end;
    }
    Floats q(n_rows * kHeads * kHeadDim);
    const Rows rows{.n_rows = n_rows,
                    .n_body = n_rows,
                    .hidden = hidden.data(),
                    .angles = angles.data(),
                    .q = q.data(),
                    .columns = columns,
                    .views = views};
    const size_t n_pauses = both_passes(rows, n_threads, asks);
    const float* row = hidden.data();
    for (Sequence* s : sequences) {
      s->hidden.assign(row, row + s->n_rows * kDModel);
      row += s->n_rows * kDModel;
    }
    return n_pauses;
  }
  size_t run(const std::vector<Sequence*>& sequences, size_t n_threads = 1) {
    return run(sequences, n_threads, [](size_t, double) { return true; });
  }

  Floats alone(size_t n_rows, uint32_t seed) {
    Sequence sequence(n_rows, seed);
    run({&sequence});
    return sequence.hidden;
  }

  size_t longest() const { return GetParam() == "reference" ? 130 : 500; }

  const Kernels* kernels_ = nullptr;
  std::unique_ptr<TestLayer> layer_;
  const ModelConfig config_ = config_of_one_layer();

 private:
  size_t both_passes(const Rows& rows, size_t n_threads, const Asks& asks) {
    ThreadPool pool(n_threads);
    LayerScratch scratch(pool.n_threads());
    const LayerContext context{config_, *kernels_, pool, scratch, asks};
    size_t n_pauses = 0;
    size_t n_done = 0;
    while (!project(context, layer_->weights, rows, n_done)) ++n_pauses;
    n_done = 0;
    while (!attend_and_feed_forward(context, layer_->weights, rows, n_done)) ++n_pauses;
    return n_pauses;
  }
};

std::vector<double> normed(const std::vector<double>& x, const Floats& weight) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double inverse = 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-5);
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) out[i] = x[i] * inverse * weight[i];
  return out;
}

std::vector<double> product(const Floats& weight, const std::vector<double>& x, const Floats& bias = {}) {
  std::vector<double> out(weight.size() / x.size());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = bias.empty() ? 0 : bias[i];
    for (size_t j = 0; j < x.size(); ++j) out[i] += static_cast<double>(weight[i * x.size() + j]) * x[j];
  }
  return out;
}

void rotate(std::vector<double>& x, const float* angles) {
  for (size_t head = 0; head < x.size(); head += kHeadDim) {
    for (size_t i = 0; i < kHeadDim; i += 2) {
      const double a = x[head + i];
      const double b = x[head + i + 1];
      x[head + i] = a * angles[i] - b * angles[i + 1];
      x[head + i + 1] = a * angles[i + 1] + b * angles[i];
    }
  }
}

std::vector<double> attended(const std::vector<double>& q, const std::vector<std::vector<double>>& keys,
                             const std::vector<std::vector<double>>& values) {
  std::vector<double> out(q.size());
  for (size_t head = 0; head < kHeads; ++head) {
    const size_t kv = head / (kHeads / kKvHeads) * kHeadDim;
    std::vector<double> weights;
    for (const auto& key : keys) {
      double score = 0;
      for (size_t i = 0; i < kHeadDim; ++i) score += q[head * kHeadDim + i] * key[kv + i];
      weights.push_back(std::exp(score * 0.25));
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t column = 0; column < keys.size(); ++column) {
      for (size_t i = 0; i < kHeadDim; ++i)
        out[head * kHeadDim + i] += weights[column] / sum * values[column][kv + i];
    }
  }
  return out;
}

// The formula, row by row.
std::vector<double> expected(const TestLayer& layer, const Sequence& sequence) {
  std::vector<double> out;
  std::vector<std::vector<double>> keys;
  std::vector<std::vector<double>> values;
  for (size_t row = 0; row < sequence.n_rows; ++row) {
    const float* begin = sequence.hidden.data() + row * kDModel;
    const float* angles = sequence.angles.data() + row * kHeadDim;
    std::vector<double> x(begin, begin + kDModel);
    const std::vector<double> in = normed(x, layer.weights.attention_norm);
    std::vector<double> q = product(layer.q, in, layer.weights.q_bias);
    keys.push_back(product(layer.k, in));
    values.push_back(product(layer.v, in, layer.weights.v_bias));
    rotate(q, angles);
    rotate(keys.back(), angles);
    const std::vector<double> from_attention = product(layer.o, attended(q, keys, values));
    for (size_t i = 0; i < kDModel; ++i) x[i] += from_attention[i];
    const std::vector<double> between = normed(x, layer.weights.ffn_norm);
    std::vector<double> gated = product(layer.gate, between);
    const std::vector<double> up = product(layer.up, between);
    for (size_t i = 0; i < kDFf; ++i) gated[i] = gated[i] / (1 + std::exp(-gated[i])) * up[i];
    const std::vector<double> from_ffn = product(layer.down, gated, layer.weights.down_bias);
    for (size_t i = 0; i < kDModel; ++i) out.push_back(x[i] + from_ffn[i]);
  }
  return out;
}

// Attention of many rows is in integers or bf16 where an instruction set has them (relative error 2^-8);
// elsewhere all is fp32, whose roundings over sums of 96 terms stay below 1e-5 of the largest state.
TEST_P(LayerTest, ComputesItsFormula) {
  for (const size_t n_rows : {size_t{1}, size_t{2}, size_t{17}, size_t{100}}) {
    Sequence sequence(n_rows, 20);
    const std::vector<double> wanted = expected(*layer_, sequence);
    run({&sequence}, 2);
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      error += (sequence.hidden[i] - wanted[i]) * (sequence.hidden[i] - wanted[i]);
      size += wanted[i] * wanted[i];
    }
    EXPECT_LT(std::sqrt(error / size), GetParam() == "reference" ? 1e-5 : 1.0 / 256) << n_rows << " rows";
  }
}

TEST_P(LayerTest, BlocksChangeNoBit) {
  const Floats wanted = alone(longest(), 21);  // on one thread: the largest blocks
  for (const size_t n_threads : {2, 3, 5}) {
    Sequence sequence(longest(), 21);
    run({&sequence}, n_threads);
    EXPECT_TRUE(sequence.hidden == wanted) << n_threads << " threads";
  }
}

TEST_P(LayerTest, NeighboursChangeNoBit) {
  const size_t sizes[] = {3, longest(), 1, 40, 1, 97};
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<Sequence*> all;
  for (size_t i = 0; i < std::size(sizes); ++i) {
    sequences.push_back(std::make_unique<Sequence>(sizes[i], static_cast<uint32_t>(30 + i)));
    all.push_back(sequences.back().get());
  }
  run(all, 2);
  for (size_t i = 0; i < std::size(sizes); ++i)
    EXPECT_TRUE(all[i]->hidden == alone(sizes[i], static_cast<uint32_t>(30 + i))) << "sequence " << i;
}

TEST_P(LayerTest, PutAsideAtEveryBlockItGoesOn) {
  const Floats wanted = alone(longest(), 22);
  for (const size_t n_threads : {1, 2}) {
    Sequence sequence(longest(), 22);
    std::atomic<size_t> n_asked = 0;
    const size_t n_pauses = run({&sequence}, n_threads, [&](size_t, double) { return n_asked++ % 2 == 1; });
    EXPECT_GE(n_pauses, 4U);
    EXPECT_TRUE(sequence.hidden == wanted) << n_threads << " threads";
  }
}

TEST_P(LayerTest, RowsBeforeTheFirstOutputOnlyAddTheirColumns) {
  const Sequence before(longest(), 23);
  const Floats wanted = alone(longest(), 23);
  for (const size_t first : {size_t{1}, longest() / 2, longest() - 1}) {
    Sequence sequence(longest(), 23);
    run(
        {&sequence}, 2, [](size_t, double) { return true; }, first);
    const auto at = static_cast<std::ptrdiff_t>(first * kDModel);
    EXPECT_TRUE(std::equal(wanted.begin() + at, wanted.end(), sequence.hidden.begin() + at)) << first;
    EXPECT_TRUE(std::equal(before.hidden.begin(), before.hidden.begin() + at, sequence.hidden.begin()))
        << first;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, LayerTest, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
