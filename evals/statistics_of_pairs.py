"""What can be said of two methods that answered the same questions."""

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
