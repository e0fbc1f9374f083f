"""Benchmarks of `lazyfill serve`."""
