"""What a clip starts from and what comes of it, whoever runs WanPipeline: by that two ways are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

END = "latents"
"""After the last step, as the scheduler leaves them; all else that is kept is from before the first."""


@contextmanager
def kept() -> Iterator[dict[str, Tensor]]:
    """Noise, prompts as the transformer is given them, and latents: of the last clip that was made in it."""
    from diffusers import UniPCMultistepScheduler, WanPipeline  # pyright: ignore[reportPrivateImportUsage]

    found: dict[str, Tensor] = {}

    def prompts(made: tuple[Tensor, Tensor | None]) -> None:
        found["prompt"] = made[0]
        found.pop("negative", None)
        if made[1] is not None:
            found["negative"] = made[1]

    with (
        watched(WanPipeline, "encode_prompt", prompts),
        watched(WanPipeline, "prepare_latents", lambda made: found.update(noise=made)),
        watched(UniPCMultistepScheduler, "step", lambda made: found.update({END: made[0]})),
    ):
        yield found


@contextmanager
def watched(kind: Any, name: str, keep: Callable[[Any], None]) -> Iterator[None]:
    """In it `keep` is given all that a method of a class gives."""
    own = getattr(kind, name)

    def call(self: Any, *given: Any, **named: Any) -> Any:
        made = own(self, *given, **named)
        keep(made)
        return made

    setattr(kind, name, call)
    try:
        yield
    finally:
        setattr(kind, name, own)


def distances(ours: dict[str, Tensor], stock: dict[str, Tensor]) -> dict[str, float]:
    """How far ours is from stock, as a share of stock's norm.

    `off` is that of the latents, `off_of_change` the same as a share of how far they came from the noise, which with
    random weights is most of them. Both say something where `start_off`, the worst of what they began with, is 0.
    """
    assert ours.keys() == stock.keys(), (ours.keys(), stock.keys())
    each = {name: float((_whole(ours[name]) - _whole(stock[name])).norm()) for name in stock}
    end, start = each.pop(END), _whole(stock["noise"])
    return {
        "off": round(end / float(_whole(stock[END]).norm()), 5),
        "off_of_change": round(end / float((_whole(stock[END]) - start).norm()), 5),
        "start_off": max(off / float(_whole(stock[name]).norm()) for name, off in each.items()),
    }


def _whole(x: Tensor) -> Tensor:
    return x.double().cpu()
