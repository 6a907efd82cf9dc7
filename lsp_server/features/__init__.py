"""One file per LSP method; each has `register(server)`. Handlers read and write the session and hold no state."""

from typing import Any


def register(server: Any) -> None:
    """All features, in one place."""
    from lsp_server.features import (
        chat,
        code_action,
        configuration,
        execute_command,
        explain,
        inline_completion,
        lifecycle,
        status,
    )

    for feature in (lifecycle, configuration, inline_completion, chat, explain, code_action, execute_command, status):
        feature.register(server)
