"""What a Dask worker is: does it see the run's folder, which Python and nbpipe does it have?

The function travels to the worker by value, since nbpipe may be missing there: it imports what it
needs by itself, and nothing of this module.
"""

from __future__ import annotations

from typing import Any


def probe(token: str, notebook: str, kernels: tuple[str, ...]) -> dict[str, Any]:
    """Return what the process that runs this is; of each kernel, where its program lies.

    Args:
        token: A file in the run's folder.
        notebook: One of the collection's.
        kernels: Names of kernelspecs.
    """
    import os  # noqa: PLC0415
    import platform  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import socket  # noqa: PLC0415
    import sys  # noqa: PLC0415

    answer: dict[str, Any] = {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "token": "",
        "problem": "",
        "version": None,
        "kernels": {},
    }
    answer["notebook"] = os.path.isfile(notebook)  # noqa: PTH113  (nothing is imported here)
    try:
        with open(token, encoding="utf-8") as stream:  # noqa: PTH123  (nothing is imported here)
            answer["token"] = stream.read()
    except OSError:
        pass
    try:
        from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415

        from nbpipe._version import __version__  # noqa: PLC0415
    except Exception as error:  # noqa: BLE001  (whatever an import raises is the answer)
        answer["problem"] = f"{type(error).__name__}: {error}"
        return answer
    answer["version"] = __version__
    manager = KernelSpecManager()
    for name in kernels:
        try:
            program = manager.get_kernel_spec(name).argv[0]
        except Exception:  # noqa: BLE001, S112  (a missing or broken one: not listed)
            continue
        own = {
            "python",
            f"python{sys.version_info[0]}",
            f"python{sys.version_info[0]}.{sys.version_info[1]}",
        }
        if program in own:  # as jupyter_client reads it
            program = sys.executable
        found = shutil.which(program) or program
        answer["kernels"][name] = os.path.realpath(os.path.dirname(found))  # noqa: PTH120
    return answer
