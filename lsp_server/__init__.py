"""Everything that knows an editor: the language server, its features, and the `hearth` command line."""
