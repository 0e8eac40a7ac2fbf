"""What ✨ Enhance adds to a prompt: by a model where one is set, else by rules; no torch and no gradio."""
