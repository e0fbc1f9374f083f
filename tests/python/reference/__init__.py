"""A second implementation of the models and of LazyLLM, in plain numpy, that shares nothing with the engine."""
