"""How every page looks: theme, style sheet and head, as one set of keywords for launch() and mounting."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gradio.themes import Base, Default

_SCRIPTS = ("studio", "clips", "done", "keys", "settle", "steps")


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def theme() -> Base:
    """Indigo on slate, system fonts (nothing is fetched from elsewhere)."""
    return Default(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="md",
        text_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0b0e14",
        body_text_color_subdued="*neutral_600",
        link_text_color_dark="*secondary_400",
        link_text_color_visited_dark="*secondary_400",
        background_fill_primary_dark="#0b0e14",
        background_fill_secondary_dark="#11151e",
        block_background_fill="white",
        block_background_fill_dark="#11151e",
        block_border_color="*neutral_200",
        block_border_color_dark="#1f2633",
        border_color_primary_dark="#1f2633",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_400",
        block_title_text_size="*text_sm",
        block_title_text_weight="500",
        block_shadow="none",
        input_background_fill_dark="#0b0e14",
        input_border_color_dark="#283041",
        input_border_color_focus="*primary_400",
        input_border_color_focus_dark="*primary_500",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_secondary_background_fill_dark="#1a202c",
        button_secondary_background_fill_hover_dark="#232b3a",
        button_large_text_weight="600",
    )


def page_options() -> dict[str, Any]:
    """Keywords for `Blocks.launch(**…)` and `gr.mount_gradio_app(…, **…)`."""
    scripts = "".join(f"<script>{_file(name + '.js')}</script>" for name in _SCRIPTS)
    return {
        "theme": theme(),
        "css": _file("studio.css"),
        "head": scripts,
        "footer_links": ["api", "settings"],
    }
