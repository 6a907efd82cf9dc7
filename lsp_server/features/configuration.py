"""Settings: asked for at the start (`workspace/configuration`) and at each `workspace/didChangeConfiguration`.

A client that cannot be asked sends the values with the notification. Wrong values are named to the user once, in the
log window of the editor, and change nothing.
"""

import asyncio
import logging
from typing import Any

from lsprotocol import types

from lsp_server.features.status import publish
from lsp_server.settings import read_settings

log = logging.getLogger(__name__)

SECTION = "codehearth"
ANSWER_WAIT_S = 5.0


def register(server: Any) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        sent = params.settings
        if isinstance(sent, dict) and isinstance(sent.get(SECTION), dict):
            apply(server, sent[SECTION])
        elif not await pull(server) and isinstance(sent, dict):
            apply(server, sent)


def apply(server: Any, values: Any, load: bool = True) -> None:
    """Takes over the valid ones of `values`; loads another model if that setting changed and `load` is set."""
    session = server.session
    enabled = session.settings.enable
    settings, complaints = read_settings(session.settings, values)
    session.apply_settings(settings)
    session.offers.clear()
    for complaint in complaints:
        log.warning("%s", complaint)
        server.window_log_message(types.LogMessageParams(type=types.MessageType.Warning, message=complaint))
    if not load:
        return
    # Compared with what was asked for, not with the setting before: that may have changed while all was switched off.
    if session.settings.enable and session.host.asked != session.wanted_model():
        load_model(server)
    elif session.settings.enable != enabled:
        publish(server)


async def pull(server: Any, load: bool = True) -> bool:
    """Asks the client for the section; false if it cannot be asked or does not answer in time."""
    workspace = server.client_capabilities.workspace
    if workspace is None or not workspace.configuration:
        return False
    request = server.workspace_configuration_async(
        types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
    )
    try:
        answer = await asyncio.wait_for(request, ANSWER_WAIT_S)
    except Exception as error:  # the client's own failure: the settings stay as they are
        log.warning("the client gave no configuration: %s", type(error).__name__)
        return False
    if not answer:
        return False
    apply(server, answer[0], load)
    return True


async def register_for_changes(server: Any) -> None:
    """Asks to be told of changes; clients of LSP 3.17 and later tell nobody who did not ask."""
    workspace = server.client_capabilities.workspace
    dynamic = (
        workspace and workspace.did_change_configuration and workspace.did_change_configuration.dynamic_registration
    )
    if not dynamic:
        return
    registration = types.Registration(
        id="codehearth-configuration",
        method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
        register_options=types.DidChangeConfigurationRegistrationOptions(section=SECTION),
    )
    try:
        await asyncio.wait_for(
            server.client_register_capability_async(types.RegistrationParams([registration])), ANSWER_WAIT_S
        )
    except Exception as error:
        log.warning("the client refused the registration for changes: %s", type(error).__name__)


def load_model(server: Any) -> None:
    """Starts to load the model of the settings, unless the product is switched off."""
    session = server.session
    if session.settings.enable:
        session.host.start(*session.wanted_model())
    else:
        session.host.decline()
