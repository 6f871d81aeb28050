"""What a change can affect: what notebooks read and import, recorded while they run, and compared.

`traces` records (by a hook in Python kernels, `audithook`, and by the system's own notes of opened
files, `openings`), `affected` decides. Nothing here starts a kernel or reads the history.

Written by hand: pytest-testmon knows from coverage.py which lines of Python a test ran. A notebook
may be in any language, and depends on data files as much as on code.
"""
