"""lazyfill: the first token of a long prompt, sooner.

>>> import lazyfill
>>> engine = lazyfill.Engine.load()
>>> answer = engine.generate("The three primary colours are", max_tokens=12, temperature=0)
>>> answer.finish_reason
'length'

`Engine.load()` takes the path of a GGUF file. `Engine.generate()` answers, `Engine.stream()` gives the answer while it is
written, `Engine.agenerate()` is for asyncio; `Session` is one conversation in small steps, and `Scheduler` many requests by
options of your own. What goes wrong is an `Error`. docs/python.md of the project shows all of it.
"""

from ._answer import Answer, FinishReason, LazyChoice, Stage, Timings, TokenLogprob
from ._engine import Engine, Scheduler, policies
from ._errors import (
    Busy,
    Cancelled,
    ContextExceeded,
    Error,
    InvalidArgument,
    InvalidFile,
    NotFound,
    OutOfMemory,
    Unsupported,
)
from ._models import default_model, installed_models
from ._options import (
    EngineOptions,
    GenerateOptions,
    Guide,
    LazyOptions,
    SamplingOptions,
    SchedulerOptions,
    StreamOptions,
)
from ._progress import Progress
from ._session import Session
from ._stream import Piece, Stream

__version__ = "0.1.0"

__all__ = [
    "Answer", "Busy", "Cancelled", "ContextExceeded", "Engine", "EngineOptions", "Error", "FinishReason",
    "GenerateOptions", "Guide", "InvalidArgument", "InvalidFile", "LazyChoice", "LazyOptions", "NotFound", "OutOfMemory", "Piece",
    "Progress", "SamplingOptions", "Scheduler", "SchedulerOptions", "Session", "Stage", "Stream", "StreamOptions", "Timings",
    "TokenLogprob", "Unsupported", "default_model", "installed_models", "policies",
]
