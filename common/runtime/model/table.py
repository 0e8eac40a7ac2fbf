"""UMT5's table of words left in the machine's own memory: of its 2.1 GB a prompt needs 512 rows."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class Table(nn.Module):
    """An embedding that is looked up where its table is. To whoever moves the model it has no parameters, so that
    the model is said to be where the rest of it is.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self._held = (embedding.weight,)

    def forward(self, ids: Tensor) -> Tensor:
        """Rows [..., width] of numbers [...], on the device of the numbers."""
        (weight,) = self._held
        return functional.embedding(ids.to(weight.device), weight).to(ids.device)


def outside(text_encoder: Any) -> Any:
    """The same text encoder, its table where it is now, wherever the rest goes. Again, it changes nothing."""
    embedding = text_encoder.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        text_encoder.set_input_embeddings(Table(embedding))
    return text_encoder
