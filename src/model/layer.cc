#include "model/layer.h"

#include <algorithm>
#include <atomic>

#include "kernels/sparse_attention.h"
#include "model/blocks.h"

namespace lazyfill {
namespace {

// With experts, each of which computes a share of a block only.
constexpr size_t kMaxExpertBlockRows = 384;
// Fewer rows are one or two blocks, which might as well convert their columns themselves.
constexpr size_t kMinPackedRows = 160;
// Newest rows of a sequence whose attention leaves nothing out.
constexpr size_t kDenseLastRows = 64;

size_t max_block_rows(const ModelConfig& config, size_t block_rows) {
  if (config.n_experts == 0) return block_rows;
  return std::clamp(block_rows * config.n_experts / config.n_experts_used, block_rows, kMaxExpertBlockRows);
}

// From where to where a pass brings the layer: for a progress bar.
struct Fractions {
  double begin;
  double end;
};

class LayerPass {
 public:
  LayerPass(const LayerContext& context, const LayerWeights& weights, const Rows& rows, size_t& n_done)
      : c_(context.config),
        k_(context.kernels),
        context_(context),
        w_(weights),
        rows_(rows),
        n_done_(n_done) {}

  bool project() { return for_each_block(false, {0, 0.25}, &LayerPass::project); }
  bool project_queries() { return for_each_block(false, {0.25, 0.25}, &LayerPass::project_queries); }
  bool attend_and_feed_forward() {
    if (n_done_ == 0) pack_columns();
    return for_each_block(true, {0.25, 1}, &LayerPass::attend_and_feed_forward);
  }

 private:
  using BlockFunction = void (LayerPass::*)(const Block&, size_t thread, Team team);

  // Many rows: each thread takes whole blocks. Few rows: all threads share the columns of every product.
  bool for_each_block(bool outputs_only, Fractions fractions, BlockFunction function) {
    const BlockPlan plan =
        plan_blocks(rows_, outputs_only, max_block_rows(c_, k_.block_rows), context_.pool.n_threads());
    const std::vector<Block>& blocks = plan.blocks;
    const double share = (fractions.end - fractions.begin) / static_cast<double>(blocks.size());
    std::atomic<bool> stopped{false};
    std::atomic<size_t> next{n_done_};
    const auto take_blocks = [&](size_t thread) {
      // Asked before a block is taken: what is taken is computed, so that the blocks done are the first ones.
      while (next < blocks.size() && !stopped.load(std::memory_order_relaxed)) {
        if (!context_.keep_going(thread, fractions.begin + share * static_cast<double>(next))) {
          stopped = true;
          return;
        }
        const size_t task = next++;
        if (task >= blocks.size()) return;
        // The last block sees the most columns: it goes first, so that no thread is left alone with it.
        const Block& block = blocks[blocks.size() - 1 - task];
        (this->*function)(block, thread, plan.shared ? Team::alone(thread) : Team::all(context_.pool));
      }
    };
    if (plan.shared) {
      context_.pool.run(take_blocks);
    } else {
      take_blocks(0);
    }
    n_done_ = std::min(next.load(), blocks.size());
    return n_done_ == blocks.size();
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
    for (const NewColumns& to : rows_.columns) {
      const size_t begin = std::max(block.begin, to.row_begin);
      const size_t end = std::min(block.end, to.row_end);
      if (begin >= end) continue;
      const size_t skipped = (begin - block.begin) * c_.kv_dim();
      store_rows(to, begin - to.row_begin, end - begin, k + skipped, v + skipped);
    }
  }

  // n rows of one sequence from its row `first` on.
  void store_rows(const NewColumns& to, size_t first, size_t n, const float* k, const float* v) const {
    const auto put = [&](ColumnType type, const float* x, size_t n_rows, size_t capacity, size_t slot,
                         std::byte* half) {
      k_.store_columns(type, x, n_rows, c_.n_kv_heads, c_.head_dim, capacity, slot, half);
    };
    if (to.exact_keys != nullptr) {
      put(ColumnType::kF32, k, n, to.exact_capacity, to.exact_first + first, to.exact_keys);
      put(ColumnType::kF32, v, n, to.exact_capacity, to.exact_first + first, to.exact_values);
    }
    for (size_t row = 0; row < n;) {
      const size_t n_side_by_side = to.slots == nullptr ? n : 1;
      const int32_t slot =
          to.slots == nullptr ? to.first_slot + static_cast<int32_t>(first + row) : to.slots[first + row];
      put(to.type, k + row * c_.kv_dim(), n_side_by_side, to.capacity, static_cast<size_t>(slot), to.keys);
      put(to.type, v + row * c_.kv_dim(), n_side_by_side, to.capacity, static_cast<size_t>(slot), to.values);
      row += n_side_by_side;
    }
  }

  void attend_and_feed_forward(const Block& block, size_t thread, Team team) {
    attend(block, thread, team);
    feed_forward(block, thread, team);
  }

  // Rows [begin, end) of the step, all of the view.
  AttentionTask task_of(const View& view, const Piece& piece, size_t begin, size_t end) const {
    AttentionTask task;
    task.shape = c_.attention_shape();
    task.columns = piece.columns;
    task.list = piece.list;
    task.q =
        piece.q != nullptr ? piece.q + (begin - view.row_begin) * c_.q_dim() : rows_.q + begin * c_.q_dim();
    task.ranges = piece.ranges + (begin - view.row_begin);
    task.n_rows = end - begin;
    task.alone = view.form == RowForm::kAlone;
    if (is_worth_packing(view) && view.packed->size() > 0) task.packed = view.packed->data();
    return task;
  }

  // Where many blocks of rows see the same columns, and all of them.
  bool is_worth_packing(const View& view) const {
    const size_t first = std::max(view.first_output, view.row_begin);
    return view.packed != nullptr && view.attention_mass >= 1 && view.form == RowForm::kMany &&
           first + kMinPackedRows <= view.row_end;
  }

  void pack_columns() {
    for (const View& view : rows_.views) {
      if (!is_worth_packing(view)) continue;
      const size_t first = std::max(view.first_output, view.row_begin);
      AttentionTask task = task_of(view, view.pieces[0], first, view.row_end);
      lazyfill::pack_columns(k_, task, *view.packed, Team::all(context_.pool));
    }
  }

  // hidden += o(attention)
  void attend(const Block& block, size_t thread, Team team) {
    LayerScratch::PerThread& scratch = context_.scratch.of(thread);
    scratch.attended.ensure(block.n_rows() * c_.q_dim());
    scratch.tasks.clear();
    scratch.groups.clear();
    scratch.tasks.reserve(n_pieces_of(block));  // groups point to them
    for (const View& view : views_of(block)) {
      const size_t view_end = std::min(block.end, view.row_end);
      for (size_t begin = std::max(block.begin, view.row_begin), end = begin; begin < view_end; begin = end) {
        end = part_end(view, begin, view_end);
        float* out = scratch.attended.data() + (begin - block.begin) * c_.q_dim();
        const size_t first_task = scratch.tasks.size();
        for (const Piece& piece : view.pieces) scratch.tasks.push_back(task_of(view, piece, begin, end));
        if (is_sparse(view, begin, view_end)) {
          sparse_attention(k_, scratch.tasks[first_task], view.attention_mass, out, team,
                           context_.scratch.attention, view.pairs);
        } else {
          scratch.groups.push_back({std::span(scratch.tasks).subspan(first_task), view.form, out});
        }
      }
    }
    attention(k_, scratch.groups, team, context_.scratch.attention);
    scratch.input.set(k_, scratch.attended.data(), block.n_rows(), c_.q_dim());
    add_product(w_.o, w_.o_bias, scratch, w_.post_attention_norm, block, team);
  }

  std::span<const View> views_of(const Block& block) const {
    const auto first = std::upper_bound(rows_.views.begin(), rows_.views.end(), block.begin,
                                        [](size_t row, const View& view) { return row < view.row_end; });
    auto last = first;
    while (last != rows_.views.end() && last->row_begin < block.end) ++last;
    return {first, last};
  }

  // At most: the parts of a view are whole choices of columns but for the first and the last.
  size_t n_pieces_of(const Block& block) const {
    size_t n = 0;
    for (const View& view : views_of(block)) n += view.pieces.size() * (block.n_rows() / kSparseRows + 2);
    return n;
  }

  // As far as the rows from `begin` on all leave out columns, or all see everything.
  size_t part_end(const View& view, size_t begin, size_t view_end) const {
    if (view.attention_mass >= 1) return view_end;
    const bool sparse = is_sparse(view, begin, view_end);
    size_t end = std::min(end_of_choice(view, begin), view_end);
    while (end < view_end && is_sparse(view, end, view_end) == sparse)
      end = std::min(end_of_choice(view, end), view_end);
    return end;
  }

  // Whether the choice that begins at a row leaves out columns. The newest rows, often a question, never do.
  bool is_sparse(const View& view, size_t begin, size_t view_end) const {
    if (view.attention_mass >= 1 || view.form != RowForm::kMany || view.pieces.size() != 1) return false;
    const size_t end = std::min(end_of_choice(view, begin), view_end);
    return view.row_end - end + view.rows_behind >= kDenseLastRows &&
           fits_sparse_attention(task_of(view, view.pieces[0], begin, end));
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
    add_bias(scratch.gate.data(), w_.gate_bias, n);
    add_bias(scratch.up.data(), w_.up_bias, n);
    k_.gated(c_.activation, scratch.gate.data(), scratch.up.data(), n * c_.d_ff);
    scratch.input.set(k_, scratch.gate.data(), n, c_.d_ff);
    add_product(w_.down, w_.down_bias, scratch, w_.post_ffn_norm, block, team);
  }

  // add_residual() of a product, which goes straight to the hidden states where nothing lies between.
  void add_product(const PackedMatrix& weight, const std::vector<float>& bias,
                   LayerScratch::PerThread& scratch, const std::vector<float>& post_norm, const Block& block,
                   Team team) {
    const PackedRows& input = scratch.input.as(weight.row_format, block.precision(w_.precise.rest));
    if (post_norm.empty() && c_.residual_scale == 1) {
      matmul(k_, weight, input, hidden(block), weight.n_out, true, team);
      add_bias(hidden(block), bias, block.n_rows());
      return;
    }
    scratch.normed.ensure(block.n_rows() * c_.d_model);  // this thread's blocks may all have been smaller
    float* product = scratch.normed.data();              // free: its rows have been multiplied already
    matmul(k_, weight, input, product, weight.n_out, false, team);
    add_bias(product, bias, block.n_rows());
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
  size_t& n_done_;
};

}  // namespace

bool project(const LayerContext& context, const LayerWeights& weights, const Rows& rows, size_t& n_done) {
  return LayerPass(context, weights, rows, n_done).project();
}

bool project_queries(const LayerContext& context, const LayerWeights& weights, const Rows& rows,
                     size_t& n_done) {
  return LayerPass(context, weights, rows, n_done).project_queries();
}

bool attend_and_feed_forward(const LayerContext& context, const LayerWeights& weights, const Rows& rows,
                             size_t& n_done) {
  return LayerPass(context, weights, rows, n_done).attend_and_feed_forward();
}

}  // namespace lazyfill
