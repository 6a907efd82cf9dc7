"""What a Python error says and where it comes from: tracebacks, names in view, rules for causes and repairs.

Text in, facts out. Nothing here runs or imports the user's code, and nothing opens a file by itself: the caller decides
which sources may be read (see `explain.Sources`). Python's own library is read as text.
"""
