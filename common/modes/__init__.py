"""What each mode takes and allows, one a file; `all.py` lists them."""
