"""`initialize`, `initialized` and `shutdown`: settings from the first message, the model in the background, the end.

Nothing slow happens in `initialize`: the editor waits for it.
"""

from typing import Any

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder

from lsp_server.features import configuration


def register(server: Any) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        session = server.session
        chosen = ServerCapabilitiesBuilder.choose_position_encoding(params.capabilities)
        session.encoding = str(getattr(chosen, "value", chosen))
        configuration.apply(server, _plain(params.initialization_options), load=False)
        session.host.expect()

    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        await configuration.register_for_changes(server)
        await configuration.pull(server, load=False)
        session = server.session
        if session.host.asked != session.wanted_model():  # a change of the settings may have come first
            configuration.load_model(server)

    @server.feature(types.SHUTDOWN)
    def shutdown(params: None) -> None:
        session = server.session
        for task in (*session.running.values(), *session.chats):
            task.cancel()
        session.host.stop()


def _plain(options: Any) -> Any:
    """Initialization options hold the settings themselves, or under the section's name."""
    if isinstance(options, dict) and isinstance(options.get("codehearth"), dict):
        return options["codehearth"]
    return options
