"""--sparse-attention spelled out on top of model.py: which columns the rows of a dense prefill look at.

Rows are cut into blocks of 96 from the first one on; the last row is a block of its own. A block of a layer without a
sliding window leaves out columns if it has 32 rows or more, its first row sees 512 columns or more, and 64 rows or more
follow it. Then, for every key head:

    sample   5 rows of the block, evenly spaced: rows (2 i + 1) n / 10, rounded down
    weight   of a column: the sum of the sampled rows' probabilities, over the query heads of the key head
    groups   of 16 columns from the first on
    kept     the first group; those from 64 columns before the block's first row on; and of the others the heaviest, until
             the kept ones hold `mass` of all weight
"""

import numpy as np

from reference.model import Model

ROWS, MIN_ROWS, MIN_COLUMNS, LAST_ROWS, SAMPLE, GROUP, NEAR = 96, 32, 512, 64, 5, 16, 64


def choose_groups(weights, first_own, mass):
    """bool [groups]"""
    sums = np.add.reduceat(weights, np.arange(0, len(weights), GROUP))
    kept = np.arange(len(sums)) >= max(first_own - NEAR, 0) // GROUP
    kept[0] = True
    held = sums[kept].sum()
    for group in np.argsort(-sums, kind="stable"):
        if held >= mass * sums.sum():
            break
        if not kept[group]:
            kept[group] = True
            held += sums[group]
    return kept


class SparseModel(Model):
    """`attention_kept` after a forward(): of the pairs of row and column that its sparse blocks saw, the share kept.
    The last `n_logit_rows` rows alone are asked for at the last layer."""

    def __init__(self, path, mass, dtype=np.float32, n_context=4096, n_logit_rows=1):
        super().__init__(path, dtype, n_context)
        self.mass, self.n_logit_rows, self.seen, self.kept = mass, n_logit_rows, 0, 0

    @property
    def attention_kept(self):
        return self.kept / self.seen

    def attend(self, layer, q, q_positions, k, v, k_positions):
        out = super().attend(layer, q, q_positions, k, v, k_positions).reshape(len(q), -1, self.config.head_dim)
        n = len(q)
        begin = n - self.n_logit_rows if layer + 1 == self.config.n_layers else 0
        while begin < n - 1:
            end = min(begin + ROWS, n - 1)
            if self.config.is_global(layer) and end - begin >= MIN_ROWS and begin + 1 >= MIN_COLUMNS and n - end >= LAST_ROWS:
                self._attend_block(layer, q, k, v, np.arange(begin, end), out)
            begin = end
        return out.reshape(n, -1)

    def _attend_block(self, layer, q, k, v, rows, out):
        c = self.config
        group = c.n_heads // c.n_kv_heads
        columns = np.arange(rows[-1] + 1)
        p = self.probabilities(layer, q[rows], rows, k[columns], columns)  # [n_heads, rows, columns]
        sample = (2 * np.arange(SAMPLE) + 1) * len(rows) // (2 * SAMPLE)
        visible = columns[None, :] <= rows[:, None]
        for head in range(c.n_kv_heads):
            mine = slice(head * group, (head + 1) * group)
            kept = choose_groups(p[mine][:, sample].sum(axis=(0, 1)), rows[0], self.mass)[columns // GROUP]
            some = p[mine] * kept
            some /= some.sum(axis=-1, keepdims=True)
            out[rows, mine] = np.einsum("hrc,cd->rhd", some, v[columns, head])
            self.seen += visible.sum()
            self.kept += (visible & kept).sum()
