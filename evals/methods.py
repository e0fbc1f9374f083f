"""Ways to answer a prompt, as flags of `lazyfill run`."""

from typing import NamedTuple


class Method(NamedTuple):
    name: str          # as results call it
    flags: tuple
    family: str = ""   # one curve of a plot
    label: str = ""    # of a row in a table; empty: the name


# Shares that are kept at each of three stages, after a single one, and of a prompt that is shortened before the model sees
# it, from soft to hard: about 1.4, 2, 2.5 and 3 times the speed of a dense prefill, as far as the kind can.
STAGED = (0.7, 0.5, 0.35, 0.2)
SINGLE = (0.6, 0.3, 0.15, 0.07)
SHORTER = (0.75, 0.5, 0.4, 0.33)
STANDARD = 1  # the strength of tables

DEPTHS = (0.3, 0.5, 0.73)  # of the model, where the three stages lie
TWO_EARLY = (0.27, 0.47)
SINGLE_DEPTH = 0.45

STAGED_POLICIES = ("lazy", "focus", "window", "static", "random")
PRESETS = ("auto", "fast")
RIVALS = ("gemfilter", "fastkv", "snapkv")


def layers_at(info, depths):
    """The prunable layers nearest to these shares of the depth, each once. info: of program.inspect."""
    prunable, n = info["model"]["prunable_layers"], info["model"]["n_layers"]
    return sorted({min(prunable, key=lambda layer: abs(layer - depth * n)) for depth in depths})


def schedule(info, keep, depths=DEPTHS):
    return ",".join(f"{layer}:{keep}" for layer in layers_at(info, depths))


def shortened_by(keep, how):
    return ("--lazy", "off", "--compress", str(keep)) + (("--compress-by", "random") if how == "random-drop" else ())


def methods_for(staged, single, keep):
    """Name -> Method: all that the paper compares, and the rivals. `staged` is the schedule of LazyLLM and its likes,
    `single` the one drop of the methods that have only one, `keep` the share of the prompt that the shortened prompts keep."""
    flags = {"dense": ("--lazy", "off")}
    flags |= {policy: ("--lazy", staged, "--policy", policy) for policy in STAGED_POLICIES}
    flags |= {policy: ("--lazy", single, "--policy", policy) for policy in RIVALS}
    flags |= {how: shortened_by(keep, how) for how in ("compression", "random-drop")}
    flags |= {preset: ("--lazy", preset) for preset in PRESETS}
    return {name: Method(name, value, name) for name, value in flags.items()}


def at_strength(info, strength):
    """methods_for at one of the strengths, without dense and the presets, which have none; names tell the strength."""
    known = methods_for(schedule(info, STAGED[strength]), schedule(info, SINGLE[strength], (SINGLE_DEPTH,)),
                        SHORTER[strength])
    return [Method(f"{m.name} {m.flags[1] if m.flags[1] != 'off' else m.flags[3]}", m.flags, m.name)
            for m in known.values() if m.name not in ("dense", *PRESETS)]


def ladder(info, families, strengths=range(len(STAGED))):
    """dense, and each family at each strength."""
    dense = Method("dense", ("--lazy", "off"), "dense")
    return [dense] + [m for s in strengths for m in at_strength(info, s) if m.family in families]


def base_of(known, family):
    """Method name -> name of this family's method of the same strength; known: of ladder."""
    strengths = [[m for m in known[1:] if m.family == f] for f in dict.fromkeys(m.family for m in known[1:])]
    base = [m for m in known if m.family == family]
    return {m.name: base[i].name for mine in strengths for i, m in enumerate(mine)}


def ablation(info):
    """Variants of the choice of tokens, for evals.fidelity. The first family is what the others are compared with: LazyLLM,
    which brings back what it wants, as do the others but for those that say how many."""
    def variants(family, flags, keeps, depths=DEPTHS):
        flags = flags if "--revive" in flags else ("--revive", "all", *flags)
        return [Method(f"{family} {schedule(info, keep, depths)}", ("--lazy", schedule(info, keep, depths), *flags), family) for keep in keeps]

    def policy(name, *more):
        return ("--policy", name, *more)

    two, one = (0.5, 0.3), (0.5,)
    found = variants("lazy", policy("lazy"), (0.75, *STAGED))
    found += variants("focus", policy("focus"), STAGED)
    found += variants("window", policy("window"), STAGED)
    found += variants("values", policy("values"), STAGED)
    found += variants("static", policy("static"), two) + variants("random", policy("random"), two)
    found += variants("window, max", policy("window", "--pool", "max"), one)
    found += variants("window, not pooled", policy("window", "--pool", "none"), one)
    found += variants("window, 32 rows", policy("window", "--window-rows", "32"), one)
    found += variants("focus, not pooled", policy("focus", "--pool", "none"), one)
    found += variants("focus, max", policy("focus", "--pool", "max"), one)
    found += variants("focus, pooled over 3", policy("focus", "--pool-width", "3"), one)
    found += variants("focus, 2 rows", policy("focus", "--window-rows", "2"), one)
    found += variants("focus, 24 rows", policy("focus", "--window-rows", "24"), one)
    found += variants("focus, 5 layers", policy("focus", "--score-layers", "5"), one)
    found += variants("lazy, 4 sinks kept", policy("lazy", "--protect-first", "4"), one)
    found += variants("focus, 4 sinks kept", policy("focus", "--protect-first", "4"), one)
    found += variants("focus, 16 newest kept", policy("focus", "--protect-last", "16"), one)
    found += variants("focus, generated kept", policy("focus", "--keep-generated"), one)
    found += variants("lazy, early", policy("lazy"), (0.6, 0.5), (0.2, 0.4, 0.6))
    found += variants("focus, early", policy("focus"), (0.6, 0.5), (0.2, 0.4, 0.6))
    found += variants("focus, late", policy("focus"), (0.4, 0.2), (0.4, 0.6, 0.8))
    found += variants("lazy, two stages", policy("lazy"), (0.6, 0.5, 0.4), TWO_EARLY)
    found += variants("focus, two stages", policy("focus"), (0.6, 0.5, 0.4), TWO_EARLY)
    found += variants("focus, two stages, no memory", policy("focus", "--vote-memory", "0"), one, TWO_EARLY)
    found += variants("focus, two stages, pooled over 15", policy("focus", "--pool-width", "15"), one, TWO_EARLY)
    found += variants("focus, two stages, 64 rows", policy("focus", "--window-rows", "64"), one, TWO_EARLY)
    for revived in ("1", "3", "8"):
        found += variants(f"focus, two stages, {revived} back", policy("focus", "--revive", revived), one, TWO_EARLY)
    for mass in ("0.95", "0.9"):
        found += variants(f"focus, two stages, sparse {mass}", policy("focus", "--sparse-attention", mass), (0.6, 0.5, 0.4), TWO_EARLY)
    found += variants("focus, one stage", policy("focus"), (0.3, 0.15), (0.4,))
    found += variants("focus, six stages", policy("focus"), (0.75, 0.65), (0.13, 0.27, 0.4, 0.53, 0.67, 0.8))
    found += variants("lazy, mass", policy("lazy"), ("p0.998", "p0.99"))
    found += variants("focus, mass", policy("focus"), ("p0.97", "p0.9"))
    for rival in RIVALS:
        found += variants(rival, policy(rival), SINGLE[1:3], (SINGLE_DEPTH,))
    unique = {method.flags: method for method in reversed(found)}  # few layers can prune: depths may be the same
    return [method for method in found if unique[method.flags] is method]
