"""One file per LSP method; each has `register(server)`. Handlers read and write the session and hold no state."""

from typing import Any


def register(server: Any) -> None:
    """All features, in one place."""
    from lsp_server.features import chat, configuration, execute_command, inline_completion, lifecycle, status

    for feature in (lifecycle, configuration, inline_completion, chat, execute_command, status):
        feature.register(server)
