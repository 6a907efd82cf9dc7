"""An explanation as markdown, for the chat view and other clients: place, code, cause, facts, change, check."""

from runtime.code.errors.explain import Explanation

SHOWN = 2  # lines around the place


def markdown(found: Explanation) -> str:
    """Facts that were not checked say so; code stands in fences that it cannot end."""
    place = f"**{_plain(found.file)}, line {found.line}**" if found.file is not None else "**no place is named**"
    parts = [f"{place}\n\n{_fence(found.error, '')}"]
    if found.view is not None and found.line:
        parts.append(_fence(_code(found), "python"))
    parts.append(found.cause)
    rows = [
        f"- {fact.name}: {_one_line(fact.value)}{'' if fact.checked else ' *(not checked)*'}" for fact in found.facts
    ]
    parts.append("**Facts**\n\n" + "\n".join(rows))
    if found.diff:
        parts.append(f"**Fix:** {found.title}\n\n{_fence(found.diff, 'diff')}")
    parts.append(f"**Check:** {found.check}")
    return "\n\n".join(parts)


def _code(found: Explanation) -> str:
    first, last = max(1, found.line - SHOWN), min(len(found.view.lines), found.line + SHOWN)
    rows = []
    for number in range(first, last + 1):
        text = found.view.line(number)[:200]
        rows.append(text)
        if number == found.line and found.marks is not None and found.marks[0] < 200:
            lead = "".join("\t" if c == "\t" else " " for c in text[: found.marks[0]])
            rows.append(lead + "^" * max(1, min(found.marks[1], 200) - found.marks[0]))
    return "\n".join(rows)


def _fence(text: str, language: str) -> str:
    longest = run = 0
    for c in text:
        run = run + 1 if c == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    return "".join("\\" + c if c in "*_`[]<>\\" else c for c in text)
