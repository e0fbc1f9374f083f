#include "model/layer.h"

#include <algorithm>
#include <atomic>

#include "kernels/sparse_attention.h"

namespace lazyfill {
namespace {

// Rows that one thread carries through the layer while they stay in its cache. More rows share the cost of
// unpacking a weight, fewer leave both cores something to do after pruning.
constexpr size_t kMaxBlockRows = 96;
constexpr size_t kMinBlockRows = 16;
// With experts, each of which computes a share of a block only.
constexpr size_t kMaxExpertBlockRows = 384;
// Fewer rows are one or two blocks, which might as well convert their columns themselves.
constexpr size_t kMinPackedRows = 160;
// Rows at the end of a segment whose attention leaves nothing out.
constexpr size_t kDenseLastRows = 64;

struct Block {
  const Segment* segment;
  size_t begin;  // rows of the step
  size_t end;
  size_t n_plain;  // rows before the one whose activations always have 16 bits
  size_t n_rows() const { return end - begin; }
  // For a product whose rows have 16 bits, or of which only the last one has.
  Precision precision(bool precise) const { return {precise ? 0 : n_plain}; }
};

size_t max_block_rows(const ModelConfig& config) {
  if (config.n_experts == 0) return kMaxBlockRows;
  return std::min(kMaxBlockRows * config.n_experts / config.n_experts_used, kMaxExpertBlockRows);
}

size_t block_rows_for(size_t n_rows, size_t n_threads, size_t max_rows) {
  // At least four blocks a thread, so that the last ones to finish do not leave the others waiting long.
  const size_t share = (n_rows + 4 * n_threads - 1) / (4 * n_threads);
  return std::clamp((share + 7) / 8 * 8, kMinBlockRows, max_rows);
}

// How rows are cut: into blocks of so many. Where `n_threads` is not 0, equally many for each thread, and the
// rows that are left, which come first, in one more block for each.
struct Cut {
  size_t block_rows;
  size_t n_threads;
};

std::vector<size_t> block_ends(size_t begin, size_t end, Cut cut) {
  std::vector<size_t> ends;
  const size_t n_left = cut.n_threads > 0 ? (end - begin) % (cut.block_rows * cut.n_threads) : 0;
  for (size_t i = 1; i <= cut.n_threads && n_left > 0; ++i) {
    const size_t part_end = begin + n_left * i / cut.n_threads;
    if (part_end > (ends.empty() ? begin : ends.back())) ends.push_back(part_end);
  }
  for (size_t at = begin + n_left; at < end; at += cut.block_rows)
    ends.push_back(std::min(at + cut.block_rows, end));
  return ends;
}

// Where the rows are many, a last row of 16 bits is a block of its own; with few the weights had better be
// read once for all.
std::vector<Block> cut_into_blocks(std::span<const Segment> segments, size_t first_row, Cut cut) {
  std::vector<Block> blocks;
  for (const Segment& segment : segments) {
    const size_t end_plain = segment.row_end - (segment.precise_last_row ? 1 : 0);
    size_t begin = std::max(segment.row_begin, first_row);
    for (size_t end : block_ends(std::min(begin, end_plain), end_plain, cut)) {
      blocks.push_back({&segment, begin, end, end - begin});
      begin = end;
    }
    if (end_plain < segment.row_end && end_plain >= first_row)
      blocks.push_back({&segment, end_plain, segment.row_end, 0});
  }
  return blocks;
}

// From where to where a pass brings the layer: for a progress bar.
struct Fractions {
  double begin;
  double end;
};

class LayerPass {
 public:
  LayerPass(const LayerContext& context, const LayerWeights& weights, const Rows& rows)
      : c_(context.config), k_(context.kernels), context_(context), w_(weights), rows_(rows) {}

  bool project() { return for_each_block(0, {0, 0.25}, &LayerPass::project); }
  bool project_queries() { return for_each_block(0, {0.25, 0.25}, &LayerPass::project_queries); }
  bool attend_and_feed_forward() {
    pack_columns();
    return for_each_block(rows_.first_output_row, {0.25, 1}, &LayerPass::attend_and_feed_forward);
  }

 private:
  using BlockFunction = void (LayerPass::*)(const Block&, size_t thread, Team team);

  // Many rows: each thread takes whole blocks. Few rows: all threads share the columns of every product.
  bool for_each_block(size_t first_row, Fractions fractions, BlockFunction function) {
    const size_t n_threads = context_.pool.n_threads();
    const size_t n_rows = rows_.n_rows - std::min(first_row, rows_.n_rows);
    if (n_rows < 2 * kMinBlockRows * n_threads && n_rows <= kMaxBlockRows)
      return for_each_segment(first_row, fractions.begin, function);
    const bool share_blocks = n_threads > 1 && n_rows >= 2 * kMinBlockRows * n_threads;
    const size_t max_rows = max_block_rows(c_);
    // Rows that choose columns together must be the same for every number of threads.
    const bool cut_by_threads = share_blocks && rows_.attention_mass >= 1;
    const Cut cut =
        cut_by_threads ? Cut{block_rows_for(n_rows, n_threads, max_rows), n_threads} : Cut{max_rows, 0};
    const std::vector<Block> blocks = cut_into_blocks(rows_.segments, first_row, cut);
    std::atomic<bool> stopped{false};
    std::atomic<size_t> n_done{0};
    const double share = (fractions.end - fractions.begin) / static_cast<double>(blocks.size());
    const Team dealer = share_blocks ? Team::all(context_.pool) : Team::alone();
    dealer.for_each(blocks.size(), [&](size_t task, size_t thread) {
      if (stopped.load(std::memory_order_relaxed)) return;
      if (!context_.keep_going(thread, fractions.begin + share * static_cast<double>(n_done))) {
        stopped = true;
        return;
      }
      // The last block sees the most columns: it goes first, so that no thread is left alone with it.
      const Block& block = blocks[blocks.size() - 1 - task];
      (this->*function)(block, thread, share_blocks ? Team::alone(thread) : Team::all(context_.pool));
      ++n_done;
    });
    return !stopped;
  }

  // A block for each segment, and all threads on it.
  bool for_each_segment(size_t first_row, double fraction, BlockFunction function) {
    for (const Segment& segment : rows_.segments) {
      if (!context_.keep_going(0, fraction)) return false;
      const size_t begin = std::max(segment.row_begin, first_row);
      if (begin >= segment.row_end) continue;
      const size_t n_plain = segment.row_end - begin - (segment.precise_last_row ? 1 : 0);
      const Block block{&segment, begin, segment.row_end, n_plain};
      (this->*function)(block, 0, Team::all(context_.pool));
    }
    return true;
  }

  // norm -> q, k, v -> biases -> norms of the heads -> rotation -> columns
  void project(const Block& block, size_t thread, Team team) {
    LayerScratch::PerThread& scratch = context_.scratch.of(thread);
    const size_t n = block.n_rows();
    scratch.keys.ensure(n * c_.kv_dim());
    scratch.values.ensure(n * c_.kv_dim());
    float* q = rows_.q + block.begin * c_.q_dim();
    float* k = scratch.keys.data();
    float* v = scratch.values.data();

    set_input(block, w_.attention_norm, scratch);
    const Precision precision = block.precision(w_.precise.qkv);
    const Product products[] = {{&w_.q, &scratch.input.as(w_.q.row_format, precision), q, c_.q_dim()},
                                {&w_.k, &scratch.input.as(w_.k.row_format, precision), k, c_.kv_dim()},
                                {&w_.v, &scratch.input.as(w_.v.row_format, precision), v, c_.kv_dim()}};
    multiply(k_, products, team);
    add_bias(v, w_.v_bias, n);
    finish_heads(block, q, c_.n_heads, w_.q_bias, w_.q_norm);
    finish_heads(block, k, c_.n_kv_heads, w_.k_bias, w_.k_norm);
    store(block, k, v);
  }

  // norm -> q -> bias -> norms of the heads -> rotation
  void project_queries(const Block& block, size_t thread, Team team) {
    LayerScratch::PerThread& scratch = context_.scratch.of(thread);
    float* q = rows_.q + block.begin * c_.q_dim();
    set_input(block, w_.attention_norm, scratch);
    matmul(k_, w_.q, scratch.input.as(w_.q.row_format, block.precision(w_.precise.qkv)), q, c_.q_dim(), false,
           team);
    finish_heads(block, q, c_.n_heads, w_.q_bias, w_.q_norm);
  }

  // x [n_rows, n_heads, head_dim], queries or keys.
  void finish_heads(const Block& block, float* x, size_t n_heads, const std::vector<float>& bias,
                    const std::vector<float>& norm) {
    add_bias(x, bias, block.n_rows());
    norm_heads(x, norm, block.n_rows() * n_heads * c_.head_dim);
    k_.rope({n_heads, c_.head_dim, c_.rope_dim, c_.rope_neox}, x, rows_.angles + block.begin * c_.rope_dim,
            block.n_rows());
  }

  // The block's hidden states, normed where the architecture has a norm here, become scratch.input.
  void set_input(const Block& block, const std::vector<float>& norm, LayerScratch::PerThread& scratch) {
    const size_t n = block.n_rows();
    const float* x = hidden(block);
    if (!norm.empty()) {
      scratch.normed.ensure(n * c_.d_model);
      k_.rms_norm(x, norm.data(), c_.rms_eps, n, c_.d_model, scratch.normed.data());
      x = scratch.normed.data();
    }
    scratch.input.set(k_, x, n, c_.d_model);
  }

  void add_bias(float* x, const std::vector<float>& bias, size_t n_rows) const {
    if (bias.empty()) return;
    for (size_t row = 0; row < n_rows; ++row) k_.add(x + row * bias.size(), bias.data(), 1, bias.size());
  }

  // Every head by itself or all heads of a row together: as wide as the norm's weight.
  void norm_heads(float* x, const std::vector<float>& norm, size_t n_elements) const {
    if (norm.empty()) return;
    k_.rms_norm(x, norm.data(), c_.rms_eps, n_elements / norm.size(), norm.size(), x);
  }

  void store(const Block& block, const float* k, const float* v) const {
    const Segment& s = *block.segment;
    const size_t row = block.begin - s.row_begin;
    const auto put = [&](ColumnType type, const float* x, size_t capacity, size_t slot, std::byte* half) {
      k_.store_columns(type, x, block.n_rows(), c_.n_kv_heads, c_.head_dim, capacity, slot, half);
    };
    put(s.column_type, k, s.capacity, s.first_new_slot + row, s.keys);
    put(s.column_type, v, s.capacity, s.first_new_slot + row, s.values);
    if (s.exact_keys == nullptr) return;
    put(ColumnType::kF32, k, s.exact_capacity, row, s.exact_keys);
    put(ColumnType::kF32, v, s.exact_capacity, row, s.exact_values);
  }

  void attend_and_feed_forward(const Block& block, size_t thread, Team team) {
    attend(block, thread, team);
    feed_forward(block, thread, team);
  }

  AttentionTask task_of(const Segment& segment) const {
    AttentionTask task;
    task.shape = c_.attention_shape();
    task.columns = segment.seen();
    task.list = segment.visible;
    return task;
  }

  // Where many blocks of rows see the same columns, and all of them.
  void pack_columns() {
    if (rows_.attention_mass < 1) return;
    for (size_t i = 0; i < rows_.segments.size(); ++i) {
      const Segment& segment = rows_.segments[i];
      const size_t begin = std::max(segment.row_begin, rows_.first_output_row);
      if (begin + kMinPackedRows > segment.row_end) continue;
      packed_.resize(rows_.segments.size());  // not in a decode step, which allocates nothing
      AttentionTask task = task_of(segment);
      lazyfill::pack_columns(k_, task, context_.scratch.attention.packed(i), Team::all(context_.pool));
      packed_[i] = task.packed;
    }
  }

  // hidden += o(attention)
  void attend(const Block& block, size_t thread, Team team) {
    LayerScratch::PerThread& scratch = context_.scratch.of(thread);
    const Segment& s = *block.segment;
    scratch.attended.ensure(block.n_rows() * c_.q_dim());
    AttentionTask task = task_of(s);
    if (!packed_.empty()) task.packed = packed_[&s - rows_.segments.data()];
    task.q = rows_.q + block.begin * c_.q_dim();
    task.ranges = s.ranges + (block.begin - s.row_begin);
    task.n_rows = block.n_rows();
    if (is_sparse(block, task)) {
      sparse_attention(k_, task, rows_.attention_mass, scratch.attended.data(), team,
                       context_.scratch.attention);
    } else {
      const bool has_last = block.end == s.row_end;
      attention(k_, task, scratch.attended.data(), team, context_.scratch.attention, has_last);
    }
    scratch.input.set(k_, scratch.attended.data(), block.n_rows(), c_.q_dim());
    add_product(w_.o, scratch, w_.post_attention_norm, block, team);
  }

  // The last rows, which are the question more often than not, see everything.
  bool is_sparse(const Block& block, const AttentionTask& task) const {
    return rows_.attention_mass < 1 && block.segment->row_end - block.end >= kDenseLastRows &&
           fits_sparse_attention(task);
  }

  // hidden += down(activation(gate) * up), or the weighted sum of that over each row's experts
  void feed_forward(const Block& block, size_t thread, Team team) {
    LayerScratch::PerThread& scratch = context_.scratch.of(thread);
    const size_t n = block.n_rows();
    set_input(block, w_.ffn_norm, scratch);
    if (!w_.experts.empty()) {
      float* mixed =
          mix_experts(c_, k_, w_, scratch.input, n, block.precision(w_.precise.rest), scratch.experts, team);
      add_residual(mixed, w_.post_ffn_norm, block);
      return;
    }
    scratch.gate.ensure(n * c_.d_ff);
    scratch.up.ensure(n * c_.d_ff);
    const Precision precision = block.precision(w_.precise.rest);
    const Product products[] = {
        {&w_.gate, &scratch.input.as(w_.gate.row_format, precision), scratch.gate.data(), c_.d_ff},
        {&w_.up, &scratch.input.as(w_.up.row_format, precision), scratch.up.data(), c_.d_ff}};
    multiply(k_, products, team);
    k_.gated(c_.activation, scratch.gate.data(), scratch.up.data(), n * c_.d_ff);
    scratch.input.set(k_, scratch.gate.data(), n, c_.d_ff);
    add_product(w_.down, scratch, w_.post_ffn_norm, block, team);
  }

  // add_residual() of a product, which goes straight to the hidden states where nothing lies between.
  void add_product(const PackedMatrix& weight, LayerScratch::PerThread& scratch,
                   const std::vector<float>& post_norm, const Block& block, Team team) {
    const PackedRows& input = scratch.input.as(weight.row_format, block.precision(w_.precise.rest));
    if (post_norm.empty() && c_.residual_scale == 1) {
      matmul(k_, weight, input, hidden(block), weight.n_out, true, team);
      return;
    }
    scratch.normed.ensure(block.n_rows() * c_.d_model);  // this thread's blocks may all have been smaller
    float* product = scratch.normed.data();              // free: its rows have been multiplied already
    matmul(k_, weight, input, product, weight.n_out, false, team);
    add_residual(product, post_norm, block);
  }

  // hidden += scale * y, y [n_rows, d_model] normed before where the architecture has post-norms.
  void add_residual(float* y, const std::vector<float>& post_norm, const Block& block) {
    const size_t n = block.n_rows();
    if (!post_norm.empty()) k_.rms_norm(y, post_norm.data(), c_.rms_eps, n, c_.d_model, y);
    k_.add(hidden(block), y, c_.residual_scale, n * c_.d_model);
  }

  float* hidden(const Block& block) const { return rows_.hidden + block.begin * c_.d_model; }

  const ModelConfig& c_;
  const Kernels& k_;
  const LayerContext& context_;
  const LayerWeights& w_;
  const Rows& rows_;
  std::vector<const std::byte*> packed_;  // [segments], null: columns are read as they are; empty: all are
};

}  // namespace

bool project(const LayerContext& context, const LayerWeights& weights, const Rows& rows) {
  return LayerPass(context, weights, rows).project();
}

bool project_queries(const LayerContext& context, const LayerWeights& weights, const Rows& rows) {
  return LayerPass(context, weights, rows).project_queries();
}

bool attend_and_feed_forward(const LayerContext& context, const LayerWeights& weights, const Rows& rows) {
  return LayerPass(context, weights, rows).attend_and_feed_forward();
}

}  // namespace lazyfill
