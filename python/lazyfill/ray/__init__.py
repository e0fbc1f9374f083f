"""lazyfill on Ray: an application for Ray Serve.

    serve run lazyfill.ray:app n_replicas=2

`pip install 'lazyfill[ray]'` brings Ray. docs/ray.md of the project shows all of it.
"""

from ._application import BuildOptions, app, build

__all__ = ["BuildOptions", "app", "build"]
