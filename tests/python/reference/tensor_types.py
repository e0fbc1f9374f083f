"""The tensor types that the engine reads, by the table in src/gguf/tensor_type.cc: a new one is tested without another list."""

import pathlib
import re

from gguf import GGMLQuantizationType as Type

_TABLE = pathlib.Path(__file__).resolve().parents[3] / "src" / "gguf" / "tensor_type.cc"
READABLE = [Type[name] for name in re.findall(r'TypeEntry{\w+::\w+, "(\w+)", \w+, \d+, expand_\w+}', _TABLE.read_text(encoding="utf-8"))]
