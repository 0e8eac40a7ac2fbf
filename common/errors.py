"""Every error that a user of the Studio can meet.

    StudioError                 anything we can explain; has a title and one sentence of text
    ├── InputError              the request breaks a rule; names the input, the rule and the way out
    │   └── MediaError          a picture, clip or sound cannot be used (missing, corrupt, too large, expired)
    ├── MissingDependency       a package that is not installed; names what to install
    ├── WeightsError            the weights of a checkpoint or LoRA cannot be had
    ├── GpuError                the GPU refused or ran out (quota, queue, memory)
    ├── DiskError               a file cannot be kept (no room, read-only)
    ├── ResultError             what the model made is broken (invalid numbers)
    ├── UnavailableError        a mode is down, asleep, building or speaks another contract version
    └── Cancelled               the user stopped the job

Each has a `code`, by which it is known on the other side of a wire (`received`). Exit codes are those of the
command line: 2 for bad input, 3 for stopped, 1 for anything else.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

TEXT_CHARACTERS = 1500
GOT_CHARACTERS = 100


def shown(text: str, most: int, *, lines: bool = False) -> str:
    """Text of a stranger as it may be shown: characters that are none as their escapes, and not without end.

    It stays on one line, unless `lines` of it are meant.
    """
    text = text if len(text) <= most else f"{text[:most]}…"
    kept = "\n" if lines else ""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def quoted(value: object) -> str:
    """A value as Python writes it; it writes out no whole number of more than 4300 digits."""
    try:
        return repr(value)
    except ValueError:
        return "a number too long to write out"


class StudioError(Exception):
    """An error with a title and a sentence that a user can act on.

    `field` is the input that it is about and `hint` the way out, where there is one; both stand in `text` too.
    """

    code = "error"
    title = "Wan Studio"
    exit_code = 1
    field: str | None = None
    hint: str | None = None

    def __init__(self, text: str, *, title: str | None = None) -> None:
        text = shown(text, TEXT_CHARACTERS, lines=True)
        super().__init__(text)
        self.text = text
        if title is not None:
            self.title = title

    def facts(self) -> dict[str, str | None]:
        """What `received` makes the same error of."""
        return {
            "code": self.code,
            "title": self.title,
            "text": self.text,
            "field": self.field,
            "hint": self.hint,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.text, self.title, dict(self.__dict__))


class InputError(StudioError):
    """A request that breaks a rule.

    `field` is the input's name as in the API, `rule` what must hold, `got` what came, `hint` the way out:
    "num_frames must be 4k+1; got 80, try 77 or 81".
    """

    code = "input"
    title = "Check the input"
    exit_code = 2

    def __init__(self, field: str, rule: str, *, got: object = None, hint: str = "") -> None:
        field = shown(field, GOT_CHARACTERS)
        text = f"{field} {rule}"
        if got is not None:
            text += f"; got {shown(str(got), GOT_CHARACTERS)}"
        if hint:
            text += f", {hint}" if got is not None else f"; {hint}"
        super().__init__(text)
        self.field, self.hint = field, hint or None


class MediaError(InputError):
    """A media input that is missing, corrupt, too large or expired."""

    code = "media"
    title = "This file cannot be used"


class WeightsError(StudioError):
    """Weights that are missing here and cannot be downloaded."""

    code = "weights"
    title = "Weights not available"


class MissingDependency(StudioError):
    """A package that is needed and not installed."""

    code = "dependency"
    title = "Package not installed"


class GpuError(StudioError):
    """A GPU that refused the job or ran out of quota, time or memory."""

    code = "gpu"
    title = "GPU not available"


class DiskError(StudioError):
    """A file that cannot be written where it should be kept."""

    code = "disk"
    title = "No room to keep it"


class ResultError(StudioError):
    """What the model made cannot be shown; nothing is wrong with the request itself."""

    code = "result"
    title = "The result is broken"


class UnavailableError(StudioError):
    """A mode that cannot be reached or does not speak our contract."""

    code = "unavailable"
    title = "Mode not available"


class Cancelled(StudioError):
    """The user stopped the job; nothing is wrong."""

    code = "cancelled"
    title = "Stopped"
    exit_code = 3

    def __init__(self, text: str = "stopped by the user") -> None:
        super().__init__(text)


_DISK = {
    errno.ENOSPC: "its disk is full", errno.EDQUOT: "its disk quota is used up", errno.EROFS: "its disk is read-only",
    errno.EACCES: "its folder cannot be written", errno.EPERM: "its folder cannot be written",
    errno.EIO: "its disk does not work", errno.EFBIG: "its disk takes no file of that size",
}  # fmt: skip


def disk_error(error: OSError) -> DiskError | None:
    """A failure of the disk in words, without a path of the machine; None for any other."""
    why = _DISK.get(error.errno or 0)
    return (
        DiskError(f"this machine cannot keep the file: {why}; make room there, then try again")
        if why
        else None
    )


_BY_CODE: Mapping[str, type[StudioError]] = {
    cls.code: cls
    for cls in (
        StudioError, InputError, MediaError, WeightsError, MissingDependency, GpuError, DiskError, ResultError,
        UnavailableError, Cancelled,
    )
}  # fmt: skip


def received(facts: Mapping[str, str | None]) -> StudioError:
    """An error that came over a wire, as it was raised there; of a code that we do not know, a plain one."""
    cls = _BY_CODE.get(facts["code"] or "", StudioError)
    title, text = (
        shown(facts["title"] or "", GOT_CHARACTERS),
        shown(facts["text"] or "", TEXT_CHARACTERS, lines=True),
    )
    return _rebuild(cls, text, title, {"field": facts["field"], "hint": facts["hint"]})


def _rebuild(cls: type[StudioError], text: str, title: str, state: dict[str, object]) -> StudioError:
    # Workers hand errors back pickled; subclasses have other constructors than Exception's.
    error = cls.__new__(cls)
    Exception.__init__(error, text)
    error.__dict__.update(state)
    error.text, error.title = text, title
    return error
