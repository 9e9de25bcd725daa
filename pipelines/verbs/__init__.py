"""The verbs of the command, one module each, which holds `VERB`.

`unidet` finds a verb by the name of its module (`import_` for `import`) and imports that module
alone, so a module's own imports are light and what it works with is imported in its `run`.
"""
