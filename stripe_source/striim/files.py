"""Files of WAEvents that grow load by load; what of them counts is noted beside them, so that a kill costs nothing.

After each load the files are on the disk, and the note is replaced in one step: the load, the file and its length. A
run that finds more than the note says, because an earlier one was killed, cuts it off and writes it again.
"""
from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Protocol

from stripe_source.errors import InvalidOption
from stripe_source.waevent_forms.avro_form import write_avro
from stripe_source.waevent_forms.form import StriimWAEvent

PREFIX = "waevents-"
NOTE = ".waevents.json"
EVENTS_PER_CHECK = 500  # WAEvents between two looks at the size of a file


@dataclass
class Position:
    """How far a place was written.

    Args:
        pipeline: name of the pipeline.
        last: id of the last load that was written whole.
        number: of the file, where there are several.
        length: bytes of it that count.
        begun: unix second when it was begun.
    """

    pipeline: str
    last: str = ""
    number: int = 1
    length: int = 0
    begun: float = 0.0


class Place(Protocol):
    """Where WAEvents go."""

    @property
    def last(self) -> str:
        """The last load that was written whole; "" where none was."""

    def write(self, load_id: str, lines: Iterable[tuple[StriimWAEvent, str]]) -> None:
        """Write the WAEvents of a load, each with its text."""


def read_position(file: Path, pipeline: str) -> Position:
    """What a note says.

    Raises:
        InvalidOption: it is of another pipeline, or no note.
    """
    try:
        found = Position(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Position(pipeline)
    except (ValueError, TypeError) as error:
        reason = f"It is to say how far WAEvents were written, and does not: {error}."
        raise InvalidOption("out", str(file), reason=reason) from None
    if found.pipeline != pipeline:
        raise InvalidOption("out", str(file.parent), reason=(
            f"Pipeline `{found.pipeline}` writes its WAEvents there; give each pipeline a place of its own."))
    return found


def write_position(file: Path, position: Position) -> None:
    """Replace a note in one step."""
    part = file.with_name(file.name + ".part")
    with part.open("w", encoding="utf-8") as opened:
        json.dump(asdict(position), opened)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(part, file)


class Stream:
    """Standard output. What was printed cannot be taken back: a load whose printing was cut is printed again.

    Args:
        out: takes text.
        note: the file that says which load was printed last.
        pipeline: name of the pipeline.
    """

    def __init__(self, out: IO[str], note: Path, pipeline: str) -> None:
        self._out, self._note, self._position = out, note, read_position(note, pipeline)

    @property
    def last(self) -> str:
        """The last load that was printed whole."""
        return self._position.last

    def write(self, load_id: str, lines: Iterable[tuple[StriimWAEvent, str]]) -> None:
        """Print the WAEvents of a load."""
        for _, text in lines:
            self._out.write(text)
        self._out.flush()
        self._position.last = load_id
        write_position(self._note, self._position)


class Files:
    """One file, or a folder of files that are rolled by size and time.

    Args:
        path: of the file or the folder.
        pipeline: name of the pipeline.
        ending: of the names of the files in a folder.
        packed: by gzip; each load is a member of its own.
        roll_size: bytes after which the next file begins.
        roll_time: seconds after which it does.
        folder: whether it is a folder.
        avro: each load has Avro files of its own.
    """

    def __init__(
        self, path: Path, pipeline: str, ending: str, *, packed: bool, roll_size: int, roll_time: int, folder: bool,
        avro: bool = False,
    ) -> None:
        self._path, self._ending, self._packed, self._folder, self._avro = path, ending, packed, folder, avro
        self._roll_size, self._roll_time = roll_size, roll_time
        if folder:
            path.mkdir(parents=True, exist_ok=True)
        self._note = path / NOTE if folder else path.with_name(f".{path.name}{NOTE}")
        self._position = read_position(self._note, pipeline)
        self._cut()

    @property
    def last(self) -> str:
        """The last load that was written whole."""
        return self._position.last

    def _file(self) -> Path:
        return self._path / f"{PREFIX}{self._position.number:06}{self._ending}" if self._folder else self._path

    def _cut(self) -> None:
        """Take away what the note does not know of; what somebody else has taken away already is not missed."""
        known, number = self._file(), self._position.number
        for file in self._path.glob(f"{PREFIX}*") if self._folder else ():
            digits = file.name[len(PREFIX):].partition(".")[0]
            if digits.isdecimal() and int(digits) > number:
                file.unlink()
        if not self._position.last and not self._folder and known.exists() and known.stat().st_size:
            raise InvalidOption("out", str(known), reason="There is a file that was not written by this pipeline.")
        size = known.stat().st_size if known.exists() else 0
        if size > self._position.length:
            os.truncate(known, self._position.length)
        elif size < self._position.length:
            self._position.length = size

    def write(self, load_id: str, lines: Iterable[tuple[StriimWAEvent, str]]) -> None:
        """Write the WAEvents of a load at the end, and note that they are there."""
        for some in _portions(lines, EVENTS_PER_CHECK):
            if self._full():
                self._position.number += 1
                self._position.length, self._position.begun = 0, 0.0
            self._position.begun = self._position.begun or time.time()
            self._append(some)
        self._position.last = load_id
        write_position(self._note, self._position)

    def _full(self) -> bool:
        if not self._folder or not self._position.length:
            return False
        old = time.time() - self._position.begun >= self._roll_time
        return self._avro or old or self._position.length >= self._roll_size

    def _append(self, some: list[tuple[StriimWAEvent, str]]) -> None:
        with self._file().open("ab") as opened:
            if self._avro:
                write_avro(opened, (event for event, _ in some))
            else:
                text = "".join(text for _, text in some).encode("utf-8", "surrogatepass")
                opened.write(gzip.compress(text, 6) if self._packed else text)
            opened.flush()
            os.fsync(opened.fileno())
            self._position.length = opened.tell()


def _portions(lines: Iterable[tuple[StriimWAEvent, str]], size: int) -> Iterator[list[tuple[StriimWAEvent, str]]]:
    some: list[tuple[StriimWAEvent, str]] = []
    for line in lines:
        some.append(line)
        if len(some) >= size:
            yield some
            some = []
    if some:
        yield some


def place_of(
    out: str, pipeline: str, note_folder: Path, stdout: IO[str], *, form: str, packed: bool, roll_size: int,
    roll_time: int,
) -> Place:
    """Where an option `out` says that WAEvents go.

    Args:
        out: `-` for standard output; a folder, which exists or ends with a slash; else a file.
        pipeline: name of the pipeline.
        note_folder: has the note of standard output.
        stdout: is standard output.
        form: the format.
        packed: by gzip.
        roll_size: bytes after which the next file of a folder begins.
        roll_time: seconds after which it does.

    Raises:
        InvalidOption: the format cannot go there.
    """
    if out == "-":
        if form == "avro" or packed:
            raise InvalidOption("out", out, reason="Standard output takes text; Avro and gzip need a folder or a file.")
        return Stream(stdout, note_folder / "waevents_stdout.json", pipeline)
    folder = out.endswith(("/", os.sep)) or os.path.isdir(out)
    if form == "avro" and not folder:
        raise InvalidOption("out", out, reason="Avro files cannot grow: give a folder, with a `/` at its end.")
    endings = {"avro": ".avro", "sysout": ".txt"}
    ending = endings.get(form, ".jsonl") + (".gz" if packed and form != "avro" else "")
    return Files(Path(out), pipeline, ending, packed=packed, roll_size=roll_size, roll_time=roll_time, folder=folder,
                 avro=form == "avro")
