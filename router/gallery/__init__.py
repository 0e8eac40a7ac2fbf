"""The Gallery: what was made, kept on this machine's disk or in a visitor's browser, and what one can do with it."""
