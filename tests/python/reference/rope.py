"""Rotary embedding and its scalings: linear, YaRN (arXiv 2309.00071), LongRoPE (arXiv 2402.13753) and Llama 3's factors."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rope:
    frequencies: np.ndarray  # [rope_dim / 2], float64, radians a position
    magnitude: float = 1.0
    long_frequencies: np.ndarray = None  # where the sequence may grow beyond `long_above` tokens
    long_above: int = 0

    @staticmethod
    def plain(base, rope_dim):
        return Rope(float(base) ** (-np.arange(0, rope_dim, 2) / rope_dim))

    def angles(self, n_context):
        is_long = self.long_frequencies is not None and n_context > self.long_above
        return (self.long_frequencies if is_long else self.frequencies), self.magnitude


def read_rope(arch, value, tensors, base, rope_dim, n_context):
    """`value(key, default)` reads metadata."""
    frequencies, magnitude = Rope.plain(base, rope_dim).frequencies, 1.0
    scaling = f"{arch}.rope.scaling."
    kind, factor = value(scaling + "type", "linear"), value(scaling + "factor", 1.0)
    n_original = value(scaling + "original_context_length", n_context)
    if kind == "linear":
        frequencies = frequencies / factor
    elif kind == "yarn":
        # How many turns a pair makes within the original context decides how far it is stretched.
        fast, slow = value(scaling + "yarn_beta_fast", 32.0), value(scaling + "yarn_beta_slow", 1.0)
        low, high = (rope_dim * np.log(n_original / (turns * 2 * np.pi)) / (2 * np.log(base)) for turns in (fast, slow))
        low, high = max(np.floor(low), 0), min(np.ceil(high), rope_dim - 1)
        ramp = np.clip((np.arange(rope_dim // 2) - low) / max(high - low, 0.001), 0, 1)
        frequencies = frequencies / factor * ramp + frequencies * (1 - ramp)
        magnitude = value(scaling + "yarn_attn_factor", 0.1 * np.log(factor) + 1)
    elif kind not in ("none", "longrope"):
        raise ValueError(f"no reference for the scaling {kind}")
    magnitude *= value(scaling + "attn_factor", 1.0)
    if "rope_freqs.weight" in tensors:
        frequencies = frequencies / tensors["rope_freqs.weight"]
    if arch == "granite" and not value(scaling + "finetuned", True):
        frequencies = 0 * frequencies
    if "rope_factors_long.weight" not in tensors:
        return Rope(frequencies, magnitude)
    return Rope(frequencies / tensors["rope_factors_short.weight"], magnitude,
                frequencies / tensors["rope_factors_long.weight"], n_original)
