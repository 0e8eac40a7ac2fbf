"""A model's answer held against the rules of a prompt: cleaned of what stands around it, or refused."""

from __future__ import annotations

import re

from common.enhance.asked import CJK, Ask, fits

_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_LEAD = re.compile(
    r"(?:\*\*)?(?:sure|certainly|of course|absolutely|okay|ok|here(?:'s|’s| is)|(?:the |your )?(?:enhanced|expanded|"
    r"improved|completed|rewritten|final|new)?\s*prompt|output|answer|好的|当然|以下是|提示词)"
    r"[^\n:：]{0,80}[:：](?:\*\*)?\s*",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("「", "」"), ("`", "`"), ("**", "**"))
_MARKDOWN = re.compile(r"\*\*|__|`|^\s*(?:#|[-*•]\s|\d+[.)]\s)|\]\(|</?[a-z!][^>]*>", re.IGNORECASE)
_REFUSALS = re.compile(
    r"\b(?:I(?: am|['’]m) sorry|I can(?:not|['’]t)|as an AI|I(?: am|['’]m) unable)\b|抱歉|我无法",
    re.IGNORECASE,
)


class Unfit(Exception):
    """An answer that is no prompt; its text says why, for a sentence that begins with "its answer"."""


def prompt_of(answer: str, ask: Ask) -> str:
    """The prompt in an answer; Unfit for what is none."""
    text = _THOUGHTS.sub("", answer).strip()
    for _ in range(2):  # "Sure, here it is:", and then "Prompt:"
        lead = _LEAD.match(text)
        text = text[lead.end() :].strip() if lead else text
    for left, right in _QUOTES:
        if text.startswith(left) and text.endswith(right) and len(text) > len(left + right):
            inner = text[len(left) : -len(right)].strip()
            text = text if left in inner or right in inner else inner
    if not text:
        raise Unfit("was empty")
    if "\n" in text or "\r" in text:
        raise Unfit("was not one paragraph")
    if not text.isprintable():
        raise Unfit("had characters that are none")
    if _MARKDOWN.search(text):
        raise Unfit("was not plain text")
    if _REFUSALS.search(text):
        raise Unfit("was no prompt")
    if not fits(text):
        raise Unfit("was too long")
    if ask.language == "zh" and not CJK.search(text):
        raise Unfit("was not in Chinese")
    return text
