"""lazyfill on Ray: an application for Ray Serve, and answers to the rows of a Ray data set.

    serve run lazyfill.ray:app n_replicas=2

`pip install 'lazyfill[ray]'` brings Ray. docs/ray.md of the project shows all of it.
"""

from ._application import BuildOptions, app, build
from ._data import generate, results

__all__ = ["BuildOptions", "app", "build", "generate", "results"]
