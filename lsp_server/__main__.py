"""`python -P -m lsp_server`: the language server on standard input and output, as `hearth lsp` starts it.

`-P` keeps the current folder, which is somebody's workspace, off the import path.
"""

import sys

from lsp_server.cli import main

if __name__ == "__main__":
    sys.exit(main(["lsp", *sys.argv[1:]]))
