"""A prompt completed by a model over the chat API, within a time and a size; what goes wrong is said in words."""

from __future__ import annotations

import asyncio
import logging

from common.enhance.answer import Unfit, prompt_of
from common.enhance.asked import Ask
from common.enhance.told import system
from common.enhance.writer import Writer

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 12.0
MAX_TOKENS = 400
"""Of an answer: 80 words, in Chinese too, and a little thought."""
MAX_ANSWER = 8000
"""Characters that are read of one."""
WARMTH = 0.7
_STATUS = {
    401: "refuses this app's token", 402: "has used up what it may cost", 403: "refuses this app's token",
    404: "does not know the model", 429: "is asked too often just now",
}  # fmt: skip


class Failed(Exception):
    """No prompt came; its text says why, for a sentence that begins with the writer's name."""


async def write(writer: Writer, ask: Ask, patience: float = PATIENCE_SECONDS) -> str:
    """The prompt as the model completes it; Failed after `patience` seconds, or for what is no prompt."""
    try:
        async with asyncio.timeout(patience):
            return prompt_of(await _answer(writer, ask, patience), ask)
    except TimeoutError:
        raise Failed(f"did not answer within {patience:g} s") from None
    except Unfit as error:
        raise Failed(f"answered, but its answer {error}") from None


async def _answer(writer: Writer, ask: Ask, patience: float) -> str:
    # Read as it is written: one that never ends, or is endless, is left where the limits are.
    from huggingface_hub import AsyncInferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    where = {"base_url": writer.url} if writer.url else {"provider": "auto"}
    client = AsyncInferenceClient(token=writer.token, timeout=patience + 5, **where)  # type: ignore[arg-type]
    messages: list[dict[str, str]] = [
        {"role": "system", "content": system(ask)},
        {"role": "user", "content": ask.prompt.strip()},
    ]
    text = ""
    try:
        async with client:
            parts = await client.chat_completion(
                messages,  # type: ignore[arg-type]
                model=writer.model, stream=True, max_tokens=MAX_TOKENS, temperature=WARMTH,
            )  # fmt: skip
            async for part in parts:
                text += (part.choices[0].delta.content or "") if part.choices else ""
                if len(text) > MAX_ANSWER:
                    raise Unfit("was too long")
    except (Unfit, TimeoutError):
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        log.warning("enhance: %s answered %s", writer.name, status)
        raise Failed(_STATUS.get(status, f"has a failure of its own ({status})")) from None
    except Exception as error:  # of a server that speaks something else, anything can come
        log.warning("enhance: %s: %s", writer.name, type(error).__name__)
        unreached = "Connect" in type(error).__name__
        raise Failed("cannot be reached" if unreached else "answered what cannot be read") from None
    return text
