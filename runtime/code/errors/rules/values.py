"""Rules for ValueError and its kin: numbers that cannot be read, counts that do not fit, formats, JSON, encodings."""

import ast
import re

from runtime.code.errors.definitions import find_function
from runtime.code.errors.edits import insert
from runtime.code.errors.origins import kind, returns, values
from runtime.code.errors.situation import Fact, Finding, Situation

_INT = re.compile(r"invalid literal for int\(\) with base \d+: (.*)")
_FLOAT = re.compile(r"could not convert string to float: (.*)")
_UNPACK = re.compile(r"(too many|not enough) values to unpack \(expected (?:at least )?(\d+)(?:, got (\d+))?\)")
_DECODE = re.compile(r"'([\w-]+)' codec can't (de|en)code")


def not_a_number(s: Situation) -> Finding | None:
    """invalid literal for int() with base 10: '3.5'; could not convert string to float: 'x'."""
    found = _INT.match(s.message) or _FLOAT.match(s.message)
    if not found:
        return None
    try:
        text = str(ast.literal_eval(found.group(1)[:500]))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        text = found.group(1)
    whole = found.re is _INT
    function = "int" if whole else "float"
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == function and len(n.args) == 1)
    facts = [Fact("the text", repr(text), False)]
    if call is not None:
        facts.append(Fact("read by", f"`{s.text(call)[:100]}`"))
    if not text.strip():
        return Finding(f"`{function}()` was given an empty text.", tuple(facts))
    if whole and _is_float(text):
        cause = f"{text!r} is a number with a fraction, and `int()` reads whole numbers only."
        if call is None:
            return Finding(cause, tuple(facts))
        inner = s.text(call.args[0])
        return Finding(
            cause,
            tuple(facts),
            (s.replace(call.args[0], f"float({inner})"),),
            f"Change to `int(float({inner}))`",
            f"`int(float({text!r}))` is {int(float(text))}",
        )
    if _is_float(text.replace(",", ".")) or _is_float(text.replace(",", "")):
        return Finding(
            f"{text!r} is written with a comma; Python reads a point, and no separator of thousands.", tuple(facts)
        )
    return Finding(f"{text!r} is not written as a number.", tuple(facts))


def _is_float(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return value == value and abs(value) != float("inf")


def wrong_count(s: Situation) -> Finding | None:
    """too many values to unpack (expected 2)."""
    found = _UNPACK.match(s.message)
    if not found:
        return None
    expected, got = int(found.group(2)), found.group(3)
    statement = s.view.statement(s.line)
    comprehension = next((n for n in s.view.parts(s.line) if isinstance(n, ast.comprehension)), None)
    loop = statement if isinstance(statement, ast.For | ast.AsyncFor) else comprehension
    if loop is not None and isinstance(loop.target, ast.Tuple):
        text = s.text(loop.iter)
        owner = kind(s.view, loop.iter, s.line)
        if owner in ("dict", "defaultdict", "Counter") and expected == 2:
            return Finding(
                f"Going through the dictionary `{text}` gives its keys alone; keys with values are `{text}.items()`.",
                (Fact(f"type of `{text}`", f"{owner}, by the source"),),
                (insert(*s.view.end(loop.iter), ".items()"),),
                f"Change `{text}` to `{text}.items()`",
                f"`{text}.items()` gives two values for each key",
            )
        first = getattr(loop.target.elts[0], "id", "")
        if first in ("i", "j", "idx", "index", "number", "num", "n") and expected == 2 and "enumerate" not in text:
            return Finding(
                f"Each element of `{text}` is filled into {expected} names; with the position it is "
                f"`enumerate({text})`.",
                (),
                (s.replace(loop.iter, f"enumerate({text})"),),
                f"Change `{text}` to `enumerate({text})`",
                "`enumerate` gives two values for each element",
            )
        return Finding(
            f"The elements of `{text}` do not have {expected} values each" + (f"; one has {got}." if got else ".")
        )
    if not isinstance(statement, ast.Assign):
        return Finding(f"{expected} values were expected" + (f", {got} came." if got else "."))
    text = s.text(statement.value)[:80]
    facts = []
    if isinstance(statement.value, ast.Call) and isinstance(statement.value.func, ast.Name):
        function = find_function(s.view, statement.value.func.id)
        for r in returns(function)[:3] if function is not None else []:
            size = len(r.value.elts) if isinstance(r.value, ast.Tuple) else None
            facts.append(
                Fact(f"`{function.name}` returns", f"{size or 'one'} value{'s' if size else ''}, line {r.lineno}")
            )
    return Finding(
        f"`{text}` gives {got or ('more' if found.group(1) == 'too many' else 'fewer')} values for {expected} names.",
        tuple(facts),
    )


def wrong_codec(s: Situation) -> Finding | None:
    """'charmap' codec can't decode byte …; 'utf-8' codec can't decode byte …"""
    found = _DECODE.match(s.message)
    if not found:
        return None
    codec, way = found.groups()
    call = s.the(
        ast.Call, lambda n: getattr(n.func, "id", getattr(n.func, "attr", "")) in ("open", "read_text", "write_text")
    )
    if codec.replace("-", "").replace("_", "") == "utf8":
        return Finding(
            "The bytes are not UTF-8: the file has another encoding (often cp1252 or latin-1), or it is no text (then "
            "open it "
            "with mode `rb`)."
            if way == "de"
            else "The text holds half of a character pair, which UTF-8 cannot write.",
        )
    cause = (
        f"The system's encoding `{codec}` does not have this character; the file was opened without saying which "
        f"encoding it has."
    )
    if call is None or any(k.arg == "encoding" for k in call.keywords):
        return Finding(f"The encoding `{codec}` does not have this character.")
    line, column = s.view.end(call)
    return Finding(
        cause,
        (Fact("opened by", f"`{s.text(call)[:100]}`"),),
        (insert(line, column - 1, (", " if call.args or call.keywords else "") + 'encoding="utf-8"'),),
        'Add `encoding="utf-8"`',
        "UTF-8 has every character",
    )


def not_json(s: Situation) -> Finding | None:
    """JSONDecodeError: Expecting value: line 1 column 1 (char 0)."""
    message = s.message
    if message.startswith("Expecting value: line 1 column 1"):
        return Finding(
            "The text is empty, or it does not begin like JSON (often an error page or a file name was given)."
        )
    if message.startswith("Expecting property name enclosed in double quotes"):
        return Finding("In JSON names stand in double quotes, and nothing follows the last comma of an object.")
    if message.startswith("Extra data"):
        return Finding("After the first JSON value more follows: one value per line is read line by line.")
    if message.startswith(("Expecting", "Invalid", "Unterminated")):
        return Finding(f"The text is not JSON at the place that the message names ({message}).")
    return None


def string_formatting(s: Situation) -> Finding | None:
    """not all arguments converted during string formatting; not enough arguments for format string."""
    if s.message == "not all arguments converted during string formatting":
        node = s.the(ast.BinOp, lambda n: isinstance(n.op, ast.Mod))
        if node is not None and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            text = s.text(node.left)
            given = values(s.view, node.left.id, s.line) if isinstance(node.left, ast.Name) else []
            facts = tuple(Fact(f"`{text}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}") for v in given[-2:])
            return Finding(
                f"`{text}` is a string, so `%` formats text here; for the remainder it has to become a number.",
                facts,
                (s.replace(node.left, f"int({text})"),),
                f"Change `{text}` to `int({text})`",
                f"`int({text})` is a number",
            )
        return Finding("There are more values behind `%` than places in the text.")
    if s.message == "not enough arguments for format string":
        return Finding("There are more places in the text than values behind `%`; several values stand in one tuple.")
    if found := re.match(r"Unknown format code '(\w)' for object of type '(\w+)'", s.message):
        code, said = found.groups()
        return Finding(f"The format `{code}` is for numbers, and the value is a {said}.")
    return None


def closed_file(s: Situation) -> Finding | None:
    """I/O operation on closed file."""
    if "closed file" not in s.message:
        return None
    blocks = (
        [n for n in ast.walk(s.view.tree) if isinstance(n, ast.With | ast.AsyncWith) and n.end_lineno < s.line]
        if s.view.tree
        else []
    )
    names = {n.id for part in s.view.parts(s.line) for n in [part] if isinstance(n, ast.Name)}
    for block in sorted(blocks, key=lambda b: -b.lineno):
        for item in block.items:
            if item.optional_vars is not None and getattr(item.optional_vars, "id", "") in names:
                name = item.optional_vars.id
                return Finding(
                    f"`with` closes `{name}` at the end of its block (line {block.end_lineno}), and line {s.line} "
                    f"stands after it.",
                    (Fact(f"`{name}` is closed", f"after line {block.end_lineno}"),),
                )
    return Finding("The file was closed before this line used it.")


def range_of_function(s: Situation) -> Finding | None:
    """Messages of single functions."""
    known = {
        "math domain error": (
            "The function has no real value there (the root or logarithm of a negative number, or log(0))."
        ),
        "substring not found": "The text does not hold what `index` looks for; `find` gives -1 instead.",
        "list.remove(x): x not in list": "The list does not hold what is to be removed; ask `if x in …` first.",
        "range() arg 3 must not be zero": "The step of a range cannot be 0.",
        "slice step cannot be zero": "The step of a slice cannot be 0.",
        "embedded null byte": "The text holds a zero byte, which no file name may have.",
    }
    if s.message in known:
        return Finding(known[s.message])
    if "is not in list" in s.message or "x not in tuple" in s.message:
        return Finding(f"The sequence does not hold what `index` looks for ({s.message}).")
    if found := re.match(r"(max|min)\(\) (?:arg is an empty sequence|iterable argument is empty)", s.message):
        call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == found.group(1))
        text = s.text(call.args[0]) if call is not None and call.args else "it"
        return Finding(
            f"`{text}` is empty, and nothing has no {found.group(1)}imum; `default=` says what to give then."
        )
    if found := re.match(r"time data '(.*)' does not match format '(.*)'", s.message):
        return Finding(f"The text {found.group(1)!r} is not written as the format {found.group(2)!r} says.")
    return None
