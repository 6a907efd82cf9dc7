"""What Python's documentation says of an exception, and in one sentence how it usually comes about."""

import ast
import builtins
import inspect
from functools import lru_cache

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import find_class
from runtime.code.errors.view import View

USUAL = {
    "ArithmeticError": "It is the base of errors of arithmetic.",
    "AssertionError": "Usually a condition of `assert` or of a test did not hold.",
    "AttributeError": ("Usually a misspelt attribute, or an object that is of another type (often None) than one "
        "thinks."),
    "BlockingIOError": "Usually a non-blocking operation had nothing to do yet.",
    "BrokenPipeError": "Usually the program that reads the output has ended.",
    "ConnectionRefusedError": ("Usually nothing listens on that address: the server is not running, or the port is "
        "another."),
    "ConnectionResetError": "Usually the other side closed the connection.",
    "EOFError": "Usually `input()` came to the end of what there is to read.",
    "ExceptionGroup": "Usually several tasks ran at once and more than one failed; each has a traceback of its own.",
    "FileExistsError": "Usually a file or folder is made that is there already.",
    "FileNotFoundError": "Usually a misspelt path, or one that is meant from another folder than the program's.",
    "FloatingPointError": "Python itself never raises it; libraries do.",
    "ImportError": "Usually a misspelt name, another version of the module, or two modules that import each other.",
    "IndentationError": "Usually a block was not indented, or a line is indented by another width than its neighbours.",
    "IndexError": "Usually a loop goes one step too far, or the sequence is shorter (often empty) than one thinks.",
    "IsADirectoryError": "Usually a folder was given where a file is meant.",
    "JSONDecodeError": "Usually the text is empty, or it is not JSON at all.",
    "KeyError": "Usually a misspelt key, or one that was never set.",
    "KeyboardInterrupt": "Somebody pressed Ctrl-C; the place is only where the program was just then.",
    "LookupError": "It is the base of errors of looking up a key or position; for codecs, a misspelt encoding.",
    "MemoryError": "Usually something grows without end, or is far larger than one thinks.",
    "ModuleNotFoundError": "Usually a misspelt module, or one that is not installed for this very Python.",
    "NameError": "Usually a misspelt name, a missing import, or a variable of another function.",
    "NotADirectoryError": "Usually a file was given where a folder is meant.",
    "NotImplementedError": "Usually a method that a subclass has to define was not defined.",
    "OSError": "The operating system refused; its number and words say why.",
    "OverflowError": "Usually a number too large for a float, for a C function or for a date.",
    "PermissionError": "Usually the file belongs to somebody else, is read-only or is open in another program.",
    "RecursionError": "Usually a function calls itself without reaching the case that ends it.",
    "RuntimeError": "The message says what was wrong; no more special type fits.",
    "StopAsyncIteration": "Usually an asynchronous iterator was asked beyond its end.",
    "StopIteration": "Usually `next()` was called at the end of an iterator.",
    "SyntaxError": "Usually a missing colon, bracket, quote or comma, often in the line before the one that is named.",
    "SystemExit": "The program ended itself by `sys.exit()` or `exit()`; it is no failure by itself.",
    "TabError": "Usually tabs and spaces are mixed in the indentation.",
    "TimeoutError": "Usually the other side did not answer in time.",
    "TypeError": "Usually a value of another type than the operation takes, or a call that does not fit its function.",
    "UnboundLocalError": "Usually a variable of the function is read before it got a value on this way.",
    "UnicodeDecodeError": "Usually a file has another encoding than it was opened with.",
    "UnicodeEncodeError": "Usually the output's encoding does not have a character.",
    "UnicodeError": "Usually text and bytes do not fit the encoding named.",
    "ValueError": "Usually the type is right, but not what is in it.",
    "ZeroDivisionError": "Usually a count or a sum is 0 because something was empty.",
}  # fmt: skip


@lru_cache(maxsize=256)
def documentation(name: str) -> str | None:
    """Python's own words on an exception: of a builtin, or of a class in the library's source; None for others."""
    module, _, last = name.rpartition(".")
    found = getattr(builtins, last, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return inspect.getdoc(found)
    if module and stdlib.is_module(module) and (view := stdlib.view(module)) is not None:
        cls = find_class(view, last)
        return inspect.cleandoc(text) if cls is not None and (text := ast.get_docstring(cls)) else None
    return None


def usual_cause(name: str) -> str | None:
    """One sentence on how an exception of this type usually comes about."""
    return USUAL.get(name.rpartition(".")[2])


def own_exception(view: View, name: str) -> str | None:
    """How a module itself defines an exception class: its line, bases and docstring."""
    cls = find_class(view, name) if view.tree is not None else None
    if cls is None:
        return None
    text = (ast.get_docstring(cls) or "").partition("\n")[0]
    return f"line {cls.lineno}, based on {', '.join(ast.unparse(b) for b in cls.bases) or 'object'}" + (
        f": {text}" if text else ""
    )
