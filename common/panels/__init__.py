"""How each mode looks: one Gradio layout a mode, drawn by its Space and by the router alike."""
