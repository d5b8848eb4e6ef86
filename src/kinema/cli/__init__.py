"""The command line: one file per group of verbs, a table of words to plain functions, lazy imports, no logic."""
