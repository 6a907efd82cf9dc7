"""The editor's side of sources: open documents and workspace folders as a `Project`, and explanations as text edits.

Paths and URIs are converted here and nowhere else. Holds snapshots only, so it may be used on another thread.
"""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path

from lsp_server.debugging.project import Project
from lsp_server.documents import Document, units_from_column
from runtime.code.errors.explain import Explanation
from runtime.code.lines import body


class Workspace:
    """What of one editor window may be read: its folders, and the Python documents that are open in it.

    Without a folder, those of the open documents count as the project.
    """

    def __init__(self, documents: dict[str, Document], folders: list[str], encoding: str):
        self.encoding = encoding
        roots = [Path(path) for uri in folders if (path := _fs_path(uri))]
        self.paths = {uri: _path(uri) for uri, document in documents.items() if document.language == "python"}
        if not roots:
            roots = [path.parent for uri, path in self.paths.items() if _fs_path(uri)]
        self.documents = dict(documents)
        here = roots[0] if roots else Path("/")
        self.project = Project(roots, here, {path: documents[uri].text for uri, path in self.paths.items()})

    def name(self, uri: str) -> str:
        """The name under which the project knows an open document."""
        found = self.project.source(str(self.paths[uri]))
        return found[0] if found else str(self.paths[uri])

    def uri(self, name: str) -> str | None:
        """The URI of a source that the project gave under this name."""
        whole = (self.project.here / name).resolve()
        for uri, path in self.paths.items():
            if path == whole:
                return uri
        return whole.as_uri() if whole.is_file() else None

    def edit(self, found: Explanation) -> types.WorkspaceEdit | None:
        """The repair as edits of its document; None if there is none or the document is another now."""
        if not found.edits or found.view is None or found.file is None or (uri := self.uri(found.file)) is None:
            return None
        document = self.documents.get(uri)
        if document is not None and document.text != found.view.text:
            return None
        lines = found.view.lines

        def position(place: tuple[int, int]) -> types.Position:
            line, column = place
            if line > len(lines):
                return types.Position(len(lines) - 1, units_from_column(lines[-1], len(body(lines[-1])), self.encoding))
            return types.Position(line - 1, units_from_column(lines[line - 1], column, self.encoding))

        edits = [types.TextEdit(types.Range(position(e.start), position(e.end)), e.text) for e in found.edits]
        return types.WorkspaceEdit(changes={uri: edits})


def workspace_of(server: Any) -> Workspace:
    """The window as it is now."""
    folders = [folder.uri for folder in server.workspace.folders.values()]
    root = server.workspace.root_uri
    return Workspace(server.session.documents, folders or ([root] if root else []), server.session.encoding)


def _fs_path(uri: str) -> str | None:
    return to_fs_path(uri) if urlsplit(uri).scheme == "file" else None


def _path(uri: str) -> Path:
    """The path of a document; one that was never saved gets a path that does not exist."""
    if path := _fs_path(uri):
        return Path(path).resolve()
    name = PurePosixPath(unquote(urlsplit(uri).path)).name or "untitled"
    return Path("/untitled") / (name if name.endswith(".py") else name + ".py")
