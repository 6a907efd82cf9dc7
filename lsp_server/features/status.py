"""The notification `codehearth/status`: what the server is doing, for the editor's status item.

{state: "loading" | "ready" | "thinking" | "off" | "error", message, model, timing}: timing is that of the last offer,
in milliseconds, with the reason where nothing was shown. `codehearth/getStatus` asks for the same.
"""

from typing import Any

METHOD = "codehearth/status"


def register(server: Any) -> None:
    @server.feature("codehearth/getStatus")
    def get_status(params: Any) -> dict[str, Any]:
        return current(server)


def current(server: Any) -> dict[str, Any]:
    """The status as it is sent."""
    session = server.session
    host = session.host
    state, message = host.state, host.message
    if not session.settings.enable:
        state, message = "off", "switched off in the settings"
    elif state == "ready" and (session.running or session.chats):
        state = "thinking"
    return {"state": state, "message": message, "model": host.name, "timing": session.last_timing}


def publish(server: Any) -> None:
    """Sends the status to the client."""
    status = server.session.told = current(server)
    server.protocol.notify(METHOD, status)


def publish_if_changed(server: Any) -> None:
    """Sends the status unless the client knows it."""
    if current(server) != server.session.told:
        publish(server)
