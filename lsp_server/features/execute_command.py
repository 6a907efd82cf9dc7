"""`workspace/executeCommand`: the server's commands.

codehearth.accepted (an offer was taken), codehearth.toggle, codehearth.reloadModel, codehearth.stats,
codehearth.lastTiming.
"""

from dataclasses import asdict, replace
from typing import Any

from lsp_server.features import configuration
from lsp_server.features.status import current, publish


def register(server: Any) -> None:
    session = server.session

    @server.command("codehearth.accepted")
    def accepted(*arguments: Any) -> None:
        session.counts.accepted += 1

    @server.command("codehearth.toggle")
    def toggle(*arguments: Any) -> dict[str, Any]:
        """Switches the offers on or off until the next change of the settings."""
        session.apply_settings(replace(session.settings, enable=not session.settings.enable))
        if session.settings.enable and session.host.asked != session.wanted_model():
            configuration.load_model(server)
        else:
            publish(server)
        return current(server)

    @server.command("codehearth.reloadModel")
    def reload_model(*arguments: Any) -> dict[str, Any]:
        session.offers.clear()
        configuration.load_model(server)
        return current(server)

    @server.command("codehearth.stats")
    def stats(*arguments: Any) -> dict[str, Any]:
        return {**asdict(session.counts), "model": session.host.name, "loadMs": round(session.host.load_ms, 1)}

    @server.command("codehearth.lastTiming")
    def last_timing(*arguments: Any) -> dict[str, Any] | None:
        return session.last_timing
