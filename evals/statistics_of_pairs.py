"""What can be said of two methods that answered the same questions."""

import math
import random


def bootstrap(pairs, statistic, n_resamples=2000, seed=0):
    """statistic(pairs) and its 95% interval over resampled pairs. A resample for which the statistic does not exist
    (ZeroDivisionError) counts as infinite."""
    rng = random.Random(seed)

    def value(sample):
        try:
            return statistic(sample)
        except ZeroDivisionError:
            return float("inf")

    values = sorted(value(rng.choices(pairs, k=len(pairs))) for _ in range(n_resamples))
    return value(pairs), values[int(0.025 * n_resamples)], values[int(0.975 * n_resamples) - 1]


def ratio_text(found, n_pairs):
    """Of what bootstrap found over n_pairs: fewer than four pairs have no interval worth the name."""
    ratio, low, high = found
    return f"{ratio:.2f}" if n_pairs < 4 else f"{ratio:.2f} ({low:.2f} to {high:.2f})"


def at(curve, x):
    """The value at x of a curve of (x, value > 0) points, straight between them in the logarithm; None beyond its ends."""
    points = sorted(curve)
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 <= x <= x1:
            part = 0 if x1 == x0 else (x - x0) / (x1 - x0)
            return math.exp(math.log(y0) * (1 - part) + math.log(y1) * part)
    return None
