"""Parses the text of a Python traceback into frames, exception, chain and group members.

Takes what terminals, logs and test runners show: colours, prefixes at the margin, heads or tails that are cut off,
`^^^^` markers (3.11 and later), `[Previous line repeated N more times]`, chains, notes, exception groups, the short
form of a SyntaxError. Knows no files: a path is only a name here. Bounded in time and size on any text.
"""

import re
from dataclasses import dataclass, field, replace

MOST_CHARACTERS = 1 << 20  # of the text; the end is kept, the exception stands there
MOST_LINE = 2000
MOST_FRAMES = 1000
MOST_NOTES = 50
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[@-Z\\-_])")
_HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):")
_FILE = re.compile(r'^(\s*)File "([^"]{1,1000})", line (\d{1,9})(?:, in (.*))?$')
_REPEATED = re.compile(r"^\s*\[Previous line repeated (\d{1,9}) more times?\]$")
_EXCEPTION = re.compile(r"^([A-Za-z_]\w*(?:\.(?:<locals>|[A-Za-z_]\w*))*)(?:: ?(.*))?$")
_MEMBER = re.compile(r"^[\s|]*\+(?:-\+)?-{3,} (\d+|\.\.\.) -{3,}$")
_BOX_END = re.compile(r"^[\s|]*\+-{3,}$")
_MARKS = re.compile(r"^[\s~^]*[~^][\s~^]*$")


@dataclass(frozen=True)
class Frame:
    """One step of the stack. `code` is the line as shown, without its indentation; `marks` are the columns (start, end)
    of the marked expression in `code`; `repeated` says how often the frame was left out after this one."""

    file: str
    line: int
    function: str = ""
    code: str = ""
    marks: tuple[int, int] | None = None
    repeated: int = 0


@dataclass(frozen=True)
class Raised:
    """One exception. `type` may be dotted and is empty where the text was cut off before it.

    `notes` are the lines after the first line of the message: its further lines or notes, the text does not tell which.
    `link` says how it followed the one before it in the chain ("", CAUSE or CONTEXT); `members` are a group's chains.
    """

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    notes: tuple[str, ...] = ()
    link: str = ""
    members: tuple[tuple["Raised", ...], ...] = ()

    @property
    def name(self) -> str:
        """The type without its module."""
        return self.type.rpartition(".")[2]

    @property
    def line(self) -> str:
        """As Python prints it."""
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass
class _Block:
    margin: int
    edge: str
    frames: list[Frame] = field(default_factory=list)
    type: str = ""
    message: str = ""
    notes: list[str] = field(default_factory=list)
    link: str = ""
    member: bool = False
    fresh: bool = True  # the last frame still waits for its line of code
    indent: int = 4  # of that line


def clean(text: str) -> list[str]:
    """Lines without colours and control characters, bounded in number and length."""
    text = text[-MOST_CHARACTERS:]
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    lines = text.split("\n")
    return ["".join(c if c >= " " or c == "\t" else "\ufffd" for c in line[:MOST_LINE]).rstrip() for line in lines]


def parse_traceback(text: str) -> tuple[Raised, ...]:
    """The chain of the last traceback in `text`, the exception that ended the program last; empty if there is none."""
    blocks = _blocks(clean(text))
    # A traceback without its last line is worth something only if there is no whole one.
    whole = [block for block in blocks if block.type] or blocks
    tree = _trees(whole)
    return tree[-1] if tree else ()


def _blocks(lines: list[str]) -> list[_Block]:
    """All tracebacks of the text in a row, those of group members marked."""
    blocks: list[_Block] = []
    block: _Block | None = None
    link, member = "", False
    for line in lines:
        stripped = line.strip(" |+\t")
        if stripped in (CAUSE, CONTEXT) or stripped.endswith((CAUSE, CONTEXT)):
            link, block = CAUSE if stripped.endswith(CAUSE) else CONTEXT, None
            continue
        if _MEMBER.match(line):
            member, link, block = True, "", None
            continue
        if _BOX_END.match(line):
            block = None
            continue
        header = _HEADER.search(line)
        start = header.start() if header else _file_margin(line) if block is None else None
        if start is None and member and "|" in line:  # a member that was never raised has no frames
            start = len(line) - len(line.lstrip(" |"))
        if start is not None:
            block = _Block(start, line[:start], link=link, member=member)
            blocks.append(block)
            link, member = "", False
            if header:
                continue
        if block is not None and not _read(block, line):
            block = None
            again = _file_margin(line)  # a traceback may begin right here, with its head cut off
            if again is not None:
                block = _Block(again, line[:again])
                blocks.append(block)
                _read(block, line)
    return [block for block in blocks if block.frames or block.type]


def _file_margin(line: str) -> int | None:
    at = line.find('  File "')
    return at if at >= 0 and _FILE.match(line[at:]) else None


def _read(block: _Block, line: str) -> bool:
    """Adds a line to the block; false if the line does not belong to it."""
    edge, text = line[: block.margin], line[block.margin :]
    if block.edge.strip() and line and not _same_edge(edge, block.edge):
        return False
    if block.margin and not block.edge.strip() and edge.strip():
        return False
    if block.type:
        if not text.strip() or _FILE.match(text):
            return False
        if len(block.notes) < MOST_NOTES:
            block.notes.append(text)
        return True
    if found := _FILE.match(text):
        _, file, number, function = found.groups()
        if len(block.frames) == MOST_FRAMES:
            del block.frames[MOST_FRAMES // 2]
        block.frames.append(Frame(file, int(number), (function or "").strip()))
        block.fresh = True
        return True
    if not text.strip():
        return True
    if text[0] in " \t":
        _detail(block, text)
        return True
    if found := _EXCEPTION.match(text):
        block.type, block.message = found.group(1), (found.group(2) or "").strip()
        return True
    return False


def _same_edge(edge: str, wanted: str) -> bool:
    return edge.replace("|", "+").rstrip() == wanted.replace("|", "+").rstrip()


def _detail(block: _Block, text: str) -> None:
    """A line of code, its markers, or the count of repeated frames."""
    if not block.frames:
        return
    last = block.frames[-1]
    if found := _REPEATED.match(text):
        block.frames[-1] = replace(last, repeated=int(found.group(1)))
    elif _MARKS.match(text):
        if last.code and last.marks is None:
            lead = len(text) - len(text.lstrip())
            block.frames[-1] = replace(last, marks=(max(0, lead - block.indent), max(0, len(text) - block.indent)))
        block.fresh = False
    elif block.fresh:
        block.indent = len(text) - len(text.lstrip())
        block.frames[-1] = replace(last, code=text.strip())
        block.fresh = False


def _trees(blocks: list[_Block]) -> list[tuple[Raised, ...]]:
    """Chains at the outermost level, each member's chain inside its group."""
    chains: list[list[Raised]] = []
    at = 0
    while at < len(blocks):
        block = blocks[at]
        end = at + 1
        while end < len(blocks) and (blocks[end].margin > block.margin) and (blocks[end].member or end > at + 1):
            end += 1
        inner = blocks[at + 1 : end]
        members = tuple(_trees(inner)) if inner and len(inner) < 500 and block.margin < 100 else ()
        raised = Raised(block.type, block.message, tuple(block.frames), tuple(block.notes), block.link, members)
        if block.link and chains and not block.member:
            chains[-1].append(raised)
        else:
            chains.append([replace(raised, link="")])
        at = end
    return [tuple(chain) for chain in chains]


def last_exception_line(text: str) -> Raised | None:
    """An exception named without any frame, as `NameError: name 'x' is not defined`: the last such line."""
    for line in reversed(clean(text)):
        line = line.strip()
        line = line[1:].strip() if line.startswith("E ") else line
        found = _EXCEPTION.match(line)
        if found and re.search(r"(?:Error|Exception|Warning|Interrupt|Iteration|Exit|Group)$", found.group(1)):
            if found.group(2) or found.group(1)[0].isupper():
                return Raised(found.group(1), (found.group(2) or "").strip())
    return None
