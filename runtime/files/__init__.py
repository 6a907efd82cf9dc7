"""Files from outside: one bounded reader under every loader, and atomic writing.

Knows formats and their lies; knows nothing of models, tokenizers or training.
"""
