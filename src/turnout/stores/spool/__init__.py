"""A journal in front of a database: append-only files first, rows later. Floor 3.

`frame` is the form of the bytes, `segments` the files and who owns them, `journal` the two threads of
the story: the request path that appends, and the writer that carries frames over into rows.
"""
