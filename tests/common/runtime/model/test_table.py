"""A prompt is looked up outside of the device, and is the same to the last bit."""

from __future__ import annotations

import torch
from transformers import UMT5EncoderModel

import nano
from common.runtime.model import table
from common.runtime.model.move import move


def test_table_stays_where_it_is_and_the_model_is_where_the_rest_is() -> None:
    encoder = UMT5EncoderModel.from_pretrained(nano.find("dense") / "text_encoder").eval()
    ids = torch.arange(24)[None]
    with torch.no_grad():
        before = encoder(ids).last_hidden_state
        words = encoder.shared.weight
        assert table.outside(table.outside(encoder)) is encoder
        assert torch.equal(encoder(ids).last_hidden_state, before)
    move(encoder, "meta")
    assert words.device.type == "cpu" and encoder.device.type == "meta"
    assert encoder.encoder.embed_tokens is encoder.shared and not [*encoder.shared.parameters()]
    assert torch.equal(encoder.shared(ids), words[ids])
