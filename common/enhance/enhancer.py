"""✨ Enhance: a model where one is set and may be asked, else the rules, which always have an answer."""

from __future__ import annotations

from common.enhance import model, rules
from common.enhance.allowance import Allowance, Spent
from common.enhance.asked import MAX_CHARACTERS, Ask, Enhanced
from common.enhance.writer import Writer
from common.errors import InputError


class Enhancer:
    """Completes the prompts of one app's pages."""

    def __init__(self, writer: Writer | None = None, allowance: Allowance | None = None) -> None:
        self.writer = writer
        self.allowance = allowance or Allowance()

    async def enhance(self, ask: Ask, variant: int = 0, page: str = "") -> Enhanced:
        """A completed prompt; InputError for an empty one. `page` is whose request it is.

        `variant` counts how often the same prompt was asked for: each has another answer.
        """
        if not ask.prompt.strip():
            raise InputError(
                "prompt", "must not be empty", hint="write a few words, and Enhance completes them"
            )
        by_rules = rules.expand(ask, variant)
        # Wan-Nano knows a few dozen words, which no model would keep to.
        if self.writer is None or ask.weights == "nano" or len(ask.prompt) > MAX_CHARACTERS:
            return by_rules
        try:
            with self.allowance.one(page):
                text = await model.write(self.writer, ask)
        except Spent as error:
            why = str(error)
        except model.Failed as error:
            why = f"{self.writer.name} {error}."
            why = why[0].upper() + why[1:]
        else:
            return Enhanced(text, self.writer.name, "" if text != ask.prompt.strip() else rules.NOTHING_NEW)
        return Enhanced(by_rules.text, by_rules.by, f"{why} {by_rules.note or 'This is by rules.'}")
