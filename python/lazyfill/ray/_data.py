"""Answers to the rows of a Ray data set: one engine a process, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from .._engine import Engine
from .._errors import Error, InvalidArgument
from .._options import GenerateOptions
from .._stream import Stream

if TYPE_CHECKING:
    from ray.data import Dataset

    from .._answer import Answer

_COLUMNS = {"answer": "", "finish_reason": "", "error": "", "n_prompt_tokens": 0, "n_tokens": 0}


class _Answerer:
    """The actor: an engine with its scheduler, which gets whole batches and packs short prompts together."""

    def __init__(self, model: str | None, threads: int, options: Mapping[str, Any], columns: Mapping[str, str],
                 folder: str | None) -> None:
        self._engine = Engine.load(model, threads=threads)
        # Of a batch nobody is turned away; who waits, waits here.
        self._scheduler = self._engine.start_scheduler(max_queue=1 << 20)
        self._options = options
        self._columns = columns
        self._folder = pathlib.Path(folder) if folder else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        prompts = batch[self._columns["prompt"]]
        ids = batch[self._columns["id"]] if self._columns["id"] else [""] * len(prompts)
        started = [self._start(prompt) for prompt in prompts]
        rows = [self._finish(one) for one in started]
        if self._folder is not None:
            _write(self._folder, [{"id": _plain(id_), **row} for id_, row in zip(ids, rows, strict=True)])
        for name, default in _COLUMNS.items():
            batch[name] = numpy.array([row[name] for row in rows], dtype=object if isinstance(default, str) else numpy.int64)
        return batch

    def _start(self, prompt: Any) -> Stream | str:
        try:
            if isinstance(prompt, str):
                return self._scheduler.stream(prompt, **self._options)
            listed = list(prompt) if isinstance(prompt, (list, tuple, numpy.ndarray)) else []
            if listed and isinstance(listed[0], Mapping):
                return self._scheduler.stream(messages=listed, **self._options)
            if listed:
                return self._scheduler.stream(listed, **self._options)
            return "a prompt is a text, token ids or a list of messages"
        except Error as error:
            return str(error)

    def _finish(self, started: Stream | str) -> dict[str, Any]:
        if isinstance(started, str):
            return {**_COLUMNS, "error": started}
        try:
            answer: Answer = started.result()
        except Error as error:
            return {**_COLUMNS, "error": str(error)}
        return {**_COLUMNS, "answer": answer.text, "finish_reason": answer.finish_reason,
                "n_prompt_tokens": len(answer.prompt_token_ids), "n_tokens": len(answer.token_ids)}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, numpy.generic) else value


def _write(folder: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """A file of its own for each batch, which is there whole or not at all."""
    path = folder / f"{uuid.uuid4().hex}.jsonl"
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def results(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The rows that a folder holds, each id once; those of a run that is under way too."""
    seen: set[Any] = set()
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row


def _check_folder(folder: pathlib.Path, asked: Mapping[str, Any]) -> None:
    """A folder holds the answers to one way of asking: others under the same ids would be mixed with them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob("*.part"):
        part.unlink()  # of a process that was killed while it wrote
    mark = hashlib.blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
    path = folder / "asked"
    if path.is_file() and path.read_text(encoding="utf-8") != mark:
        raise InvalidArgument(f"the folder '{folder}' holds answers of another model or other options: take a new one")
    path.write_text(mark, encoding="utf-8")


def generate(dataset: Dataset, *, prompt_column: str = "prompt", id_column: str = "id",
             folder: str | os.PathLike[str] | None = None, model: str | os.PathLike[str] | None = None,
             n_actors: int = 1, threads: int = 0, num_cpus: float = 0, batch_size: int = 32, **options: Any) -> Dataset:
    """The data set with the columns "answer", "finish_reason", "error", "n_prompt_tokens" and "n_tokens".

    prompt_column: a text, token ids, or messages. A prompt that cannot be answered has its reason in "error", which is
        empty elsewhere; the others go on.
    folder: where answers are kept by `id_column`, a batch at a time. The same call after an interruption answers only
        what is not there; `results(folder)` reads all of them. The ids must differ.
    n_actors: processes with an engine each; threads: of each, 0: the cores divided by the actors; num_cpus: what Ray sets
        aside for each, 0: as many as threads.
    batch_size: rows that are in an engine at a time: short prompts among them are computed together.
    options: fields of `GenerateOptions`. A `seed` of 0 takes another one in each run.

    Nothing is computed before the result is read, as with every data set of Ray.
    """
    GenerateOptions(**options)  # a wrong name is told at once
    if folder is not None:
        path = pathlib.Path(folder).absolute()
        _check_folder(path, {"model": str(model), "prompt": prompt_column, "id": id_column, **options})
        done = frozenset(row["id"] for row in results(path))
        if done:
            dataset = dataset.filter(lambda row: _plain(row[id_column]) not in done)
    threads = threads or max(1, len(os.sched_getaffinity(0)) // n_actors)
    return dataset.map_batches(
        _Answerer, batch_size=batch_size, batch_format="numpy", zero_copy_batch=False, concurrency=n_actors,
        num_cpus=num_cpus or threads,
        fn_constructor_kwargs={
            "model": None if model is None else str(model), "threads": threads, "options": options,
            "columns": {"prompt": prompt_column, "id": id_column if folder is not None else ""},
            "folder": None if folder is None else str(path)})


__all__: Sequence[str] = ["generate", "results"]
