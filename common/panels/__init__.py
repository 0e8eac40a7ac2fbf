"""How each mode looks, one a file, drawn by its Space and by the Studio alike; `all.py` lists them."""
