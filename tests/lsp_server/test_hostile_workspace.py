"""A workspace full of modules named like ours: none of them may ever run, and no socket may be opened."""

import os
import subprocess
import sys
import textwrap

import pytest
from connection import PACKAGES, connect

NAMES = (
    "runtime",
    "numpy",
    "sitecustomize",
    "usercustomize",
    "native_kernels",
    "pygls",
    "lsp_server",
    "json",
    "typing",
)


@pytest.fixture
def hostile(tmp_path):
    """A folder whose modules leave a mark where they are imported, in the shape of files and of packages."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    code = f"open({str(tmp_path / 'RAN')!r}, 'a').write(__name__ + '\\n')\n"
    for name in NAMES:
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / "lsp_server").mkdir()
    (folder / "lsp_server" / "__init__.py").write_text(code, encoding="utf-8")
    (folder / "finetune").mkdir()
    (folder / "finetune" / "__init__.py").write_text(code, encoding="utf-8")
    (folder / "conftest.py").write_text(code, encoding="utf-8")
    return folder


def console_script(folder) -> list[str]:
    """The script as an installer writes it for `hearth = "lsp_server.cli:main"`."""
    script = folder / "bin" / "hearth"
    script.parent.mkdir()
    body = """
        import re
        import sys
        from lsp_server.cli import main
        if __name__ == "__main__":
            sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
            sys.exit(main())
    """
    script.write_text(f"#!{sys.executable}\n" + textwrap.dedent(body), encoding="utf-8")
    return [sys.executable, str(script), "lsp"]


@pytest.mark.asyncio
@pytest.mark.parametrize("start", ["console script", "python -P -m lsp_server"])
async def test_nothing_of_the_workspace_is_imported(tmp_path, hostile, tiny_model, start):
    command = console_script(tmp_path) if start == "console script" else [sys.executable, "-P", "-m", "lsp_server"]
    async with connect(tmp_path, [*command, "--model", str(tiny_model)], cwd=hostile) as c:
        await c.state("ready", 60)
        c.open("def add(a, b):\n    return ", uri=(hostile / "runtime.py").as_uri())
        await c.offer(1, 11, uri=(hostile / "runtime.py").as_uri())
        await c.request("codehearth/chat", {"messages": [{"role": "user", "content": "hi"}], "maxTokens": 4})
    assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text(encoding="utf-8")


def test_the_marks_of_the_hostile_modules_work(tmp_path, hostile):
    """Without -P they do run: the test above can fail."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run([sys.executable, "-m", "runtime"], cwd=hostile, env=environment, check=True, timeout=30)
    assert "__main__" in (tmp_path / "RAN").read_text(encoding="utf-8")


def test_a_command_leaves_the_current_folder_off_the_path_even_where_python_puts_it_there(tmp_path, hostile):
    code = "import sys; sys.path.insert(0, ''); from lsp_server.cli import main; sys.exit(main(['models']))"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    # The package itself must be found first, as an installed one is: the hostile one of the same name is not the point.
    code = "import lsp_server.cli; " + code
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=hostile, env=environment, timeout=60, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "RAN").exists()


NO_SOCKETS = """
import socket
import sys

opened = []

def watch(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        raise PermissionError(f"{event} is denied")
    if event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
        raise PermissionError("a socket to the network is denied")

sys.addaudithook(watch)
try:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)
except PermissionError:
    pass
else:
    sys.exit("the watch does not work")
from lsp_server.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.asyncio
async def test_no_socket_to_the_network_is_made(tmp_path, tiny_model):
    command = [sys.executable, "-P", "-c", NO_SOCKETS, "lsp", "--model", str(tiny_model)]
    async with connect(tmp_path, command) as c:
        await c.state("ready", 60)
        c.open("def add(a, b):\n    return ")
        await c.offer(1, 11)
        assert await c.request("codehearth/chat", {"messages": [{"role": "user", "content": "hi"}], "maxTokens": 4})
        assert (await c.command("codehearth.stats"))["requested"] == 1
