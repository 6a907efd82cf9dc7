"""What there is to know about source code: the caret's surroundings, prompts, and the rules that clean a completion.

Text in, text out. Knows nothing about editors, protocols, threads or weights; lines are counted from 0 and
columns in code points. The terminal command and the language server use the same functions, so both show the same text.
"""
