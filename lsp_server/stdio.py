"""Keeps the protocol's pipe clean, and the current folder off the import path.

Imports nothing but the standard library's smallest modules, because both must happen before any other import: whatever
a library (or a stray `print`) writes to standard output later lands on standard error, not between two messages.
"""

import os
import sys


def claim_stdout():
    """The real standard input and output as binary files; from now on descriptor 1 is standard error, 0 is empty."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(1, os.O_BINARY)
    protocol_in, protocol_out = os.dup(0), os.dup(1)
    os.set_inheritable(protocol_in, False)
    os.set_inheritable(protocol_out, False)
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    sys.stdout = sys.stderr
    return os.fdopen(protocol_in, "rb"), os.fdopen(protocol_out, "wb")


def leave_current_folder():
    """Takes the current folder off the import path, unless this package itself was loaded from it.

    The folder that the server is started in is the user's workspace: a `numpy.py` in it must never be imported.
    """
    own = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # the folder was deleted: nothing can be imported from it
        return
    if here == own:
        return
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]
