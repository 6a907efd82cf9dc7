"""Explanations in terminal and editor: which sources may be read, how an explanation is shown, quick fixes."""
