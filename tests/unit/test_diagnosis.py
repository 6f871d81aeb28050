"""From what real kernels say to a category, and a signature of the root cause."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v4

from nbpipe.execution import diagnosis
from nbpipe.execution.kernels.provisioner import Exit
from nbpipe.execution.source import CodeCell
from nbpipe.model import Category

CELL = CodeCell(
    node=v4.new_code_cell("f()"), index=1, origin=0, cell_id="abc", skip=False, raises=False
)


def failure(ename: str, evalue: str, *traceback: str, printed: str = "") -> tuple[str, str, str]:
    error = {"ename": ename, "evalue": evalue, "traceback": list(traceback)}
    told = diagnosis.cell_error(error, CELL, printed=printed)
    return told.category, told.name, told.signature


@pytest.mark.parametrize(
    ("ename", "evalue", "category", "signature"),
    [
        ("ZeroDivisionError", "division by zero", "exception", "division by zero"),
        ("ValueError", "", "exception", ""),
        (
            "ModuleNotFoundError",
            "No module named 'lightkurve.x2'",
            "missing-package",
            "No module named 'lightkurve.x2'",
        ),
        ("MemoryError", "", "out-of-memory", ""),
        (
            "_ArrayMemoryError",
            "Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)",
            "out-of-memory",
            None,
        ),
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'x'", "missing-file", None),
        ("gaierror", "[Errno -3] Temporary failure in name resolution", "network", None),
        (
            "URLError",
            "<urlopen error [Errno 111] Connection refused>",
            "network",
            "<urlopen error Connection refused>",
        ),
        ("ReadTimeout", "HTTPSConnectionPool(host='a.org', port=443)", "network", "to a.org"),
        ("StdinNotImplementedError", "raw_input was called, but …", "asks-for-input", None),
        ("EOFError", "EOF when reading a line", "asks-for-input", None),
        ("SystemExit", "3", "exception", "<n>"),
        ("KeyError", "'flux'", "exception", "'flux'"),
    ],
)
def test_what_python_says(ename: str, evalue: str, category: str, signature: str | None) -> None:
    told = failure(ename, evalue)
    assert told[:2] == (category, ename)
    if signature is not None:
        joint = " " if signature.startswith("to ") else ": "
        assert told[2] == (f"{ename}{joint}{signature}" if signature else ename)


@pytest.mark.parametrize(
    ("evalue", "category"),
    [
        (
            "Error in library(nosuch): there is no package called \u2018nosuch\u2019",
            "missing-package",
        ),
        (
            "Error in loadNamespace(x): there is no package called \u2018ggplot2\u2019",
            "missing-package",
        ),
        ("Error: cannot allocate vector of size 745.1 Gb", "out-of-memory"),
        (
            "Error in url(\"http://x.invalid\"): cannot open URL 'http://x.invalid'",
            "network",
        ),
        ("Error in f(): object 'x' not found", "exception"),
    ],
)
def test_what_r_says(evalue: str, category: str) -> None:
    told = failure("ERROR", evalue)
    assert told[:2] == (category, "Error")


def test_in_r_a_warning_says_which_file_could_not_be_opened() -> None:
    printed = (
        "Warning message in file(file, \"rt\"):\n“cannot open file 'nosuch.csv': No such file”"
    )
    told = failure(
        "ERROR", 'Error in file(file, "rt"): cannot open the connection', printed=printed
    )
    assert told[0] == "missing-file"
    assert "nosuch.csv" in told[2]


def test_r_asks_for_input_in_its_menus() -> None:
    said = 'Error in menu(c("a", "b")): menu() cannot be used non-interactively'
    assert failure("ERROR", said)[0] == "asks-for-input"


@pytest.mark.parametrize(
    ("code", "printed", "category", "signature"),
    [
        (
            "127",
            "bash: nosuch: command not found\n",
            "missing-package",
            "nosuch: command not found",
        ),
        ("127", "bash: line 3: sex2: command not found\n", "missing-package", None),
        ("1", "cat: x.txt: No such file or directory\n", "missing-file", None),
        ("1", "", "exception", "exit status <n>"),
        ("6", "curl: (6) Could not resolve host: data.org\n", "network", None),
    ],
)
def test_what_bash_says(code: str, printed: str, category: str, signature: str | None) -> None:
    told = failure("", code, printed=printed)
    assert told[:2] == (category, "ExitStatus")
    if signature is not None:
        assert told[2] == f"ExitStatus: {signature}"


def test_what_xeus_python_says() -> None:
    told = failure("<class 'ModuleNotFoundError'>", "No module named 'nosuch'")
    assert told == (
        "missing-package",
        "ModuleNotFoundError",
        "ModuleNotFoundError: No module named 'nosuch'",
    )
    assert failure("<class 'requests.exceptions.ConnectionError'>", "x")[:2] == (
        "network",
        "ConnectionError",
    )


@pytest.mark.parametrize(
    ("ename", "evalue", "category"),
    [
        (
            "ArgumentError",
            "ArgumentError: Package Nosuch not found in current path.",
            "missing-package",
        ),
        ("SystemError", 'opening file "nosuch": No such file or directory', "missing-file"),
        ("UndefVarError", "UndefVarError: `x` not defined", "exception"),
        ("OutOfMemoryError", "OutOfMemoryError()", "out-of-memory"),
    ],
)
def test_what_julia_says(ename: str, evalue: str, category: str) -> None:
    assert failure(ename, evalue)[:2] == (category, ename)


def test_a_bare_timeout_is_the_networks_where_the_traceback_says_so() -> None:
    assert (
        failure("TimeoutError", "timed out", "File socket.py in create_connection")[0] == "network"
    )
    assert failure("TimeoutError", "timed out", "File wait.py")[0] == "exception"


def test_terminal_codes_are_nowhere() -> None:
    error = {
        "ename": "ValueError",
        "evalue": "\x1b[31mred\x1b[0m \x00text",
        "traceback": ["\x1b[0;31mValueError\x1b[0m: red", "\x1b]8;;http://x\x07link\x1b]8;;\x07"],
    }
    told = diagnosis.cell_error(error, CELL)
    assert told.message == "red text"
    assert told.traceback == "ValueError: red\nlink"
    assert (told.cell, told.cell_id, told.source) == (0, "abc", "f()")


@pytest.mark.parametrize("error", [{}, {"ename": None, "evalue": None, "traceback": None}])
def test_an_error_without_anything_still_has_a_signature(error: dict[str, object]) -> None:
    told = diagnosis.cell_error(error, CELL)
    assert (told.category, told.message) == (
        "exception",
        "the kernel reports an error without a reason",
    )
    assert told.signature != ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("no file /home/ann/data/cat.fits", "no file /scratch/42/bob/cat.fits"),
        ("no file '/home/ann/cat.fits'", "no file '../x/cat.fits'"),
        ("<Foo object at 0x7f12ab34cd56> failed", "<Foo object at 0x55d0c0ffee00> failed"),
        ("worker with pid 1234 ended after 3.5 s", "worker with pid 99 ended after 12.25 s"),
        ("at 2026-01-31T12:00:00Z", "at 2025-12-01T23:59:59.123456+01:00"),
        ("job 5f2e9a1bdeadbeef is gone", "job 0123abcd4567ef89 is gone"),
        (
            "run 123e4567-e89b-12d3-a456-426614174000",
            "run 00000000-aaaa-bbbb-cccc-1234567890ab",
        ),
        ("shapes (3, 4) and (5, 6) differ", "shapes (30, 44) and (1, 2) differ"),
        ("GET http://u:p@h.org:8080/x?y=1 failed", "GET https://h.org/other#z failed"),
        ("at 12:34:56 it failed", "at 1:02 it failed"),
        ("value -1.5e-10 is negative", "value -3 is negative"),
    ],
)
def test_the_same_cause_has_the_same_signature(first: str, second: str) -> None:
    assert failure("ValueError", first)[2] == failure("ValueError", second)[2]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("no file /a/cat.fits", "no file /a/dog.fits"),
        ("cannot cast float64 to int32", "cannot cast float32 to int32"),
        ("'flux'", "'time'"),
        ("GET http://a.org/x failed", "GET http://b.org/x failed"),
    ],
)
def test_different_causes_have_different_signatures(first: str, second: str) -> None:
    assert failure("ValueError", first)[2] != failure("ValueError", second)[2]


def test_a_line_that_only_announces_the_cause_is_followed_by_it() -> None:
    message = "Error at driver init: \n\nCUDA driver library cannot be found.\nIf you are sure …\n:"
    assert failure("CudaSupportError", message)[2] == (
        "CudaSupportError: Error at driver init: CUDA driver library cannot be found."
    )


def test_an_address_on_a_later_line_of_the_failing_call_names_the_host() -> None:
    signature = failure(
        "URLError",
        "<urlopen error [Errno -2] Name or service not known>",
        "Cell In[2], line 2",
        "      1 # Downloads the data: https://not-this.org",
        "----> 2 data = download_file(",
        "      3     'http://data.astropy.org/cube.fits',",
        "      4     cache=True)",
    )[2]
    assert signature == "ConnectionError to data.astropy.org"


def test_an_address_after_the_failing_statement_is_not_the_host() -> None:
    message = "<urlopen error [Errno -2] Name or service not known>"
    lines = ["Cell In[2], line 1", "----> 1 query(a)", "      2 get('http://b.org/')"]
    assert failure("URLError", message, *lines)[2] == (
        "URLError: <urlopen error Name or service not known>"
    )


@pytest.mark.parametrize(
    ("source", "signature"),
    [
        ("url = 'https://a.org/x.csv'\nget(url)", "URLError to a.org"),
        ("urls = ['https://a.org/', 'https://b.org/']\nget(urls)", "URLError: <urlopen error>"),
    ],
)
def test_the_only_address_in_a_cell_names_the_host(source: str, signature: str) -> None:
    cell = replace(CELL, node=v4.new_code_cell(source))
    error = {"ename": "URLError", "evalue": "<urlopen error>", "traceback": []}
    assert diagnosis.cell_error(error, cell).signature == signature


@pytest.mark.parametrize(
    "earlier",
    [
        "url = ('https://a.org/'\n       'x.csv')\nother = 'https://b.org/'",
        "base = 'https://a.org/'\nurl = base + 'x.csv'",
        "url = 'https://old.org/'\nurl = 'https://a.org/'",
    ],
)
def test_an_address_that_an_earlier_cell_put_into_a_variable_names_the_host(earlier: str) -> None:
    cell = replace(CELL, node=v4.new_code_cell("read_csv(url)"))
    lines = ["Cell In[2], line 1", "----> 1 read_csv(url)"]
    error = {"ename": "URLError", "evalue": "<urlopen error timed out>", "traceback": lines}
    assert (
        diagnosis.cell_error(error, cell, before=[(earlier, "")]).signature == "URLError to a.org"
    )


def test_variables_that_name_each_other_name_no_host() -> None:
    lines = ["Cell In[2], line 1", "----> 1 get(a)"]
    error = {"ename": "URLError", "evalue": "<urlopen error>", "traceback": lines}
    told = diagnosis.cell_error(error, CELL, before=[("a = b\nb = a", "")])
    assert told.signature == "URLError: <urlopen error>"


@pytest.mark.parametrize(
    ("ename", "evalue"),
    [
        ("URLError", "<urlopen error [Errno -2] Name or service not known>"),
        ("gaierror", "[Errno -3] Temporary failure in name resolution"),
        ("ConnectError", "[Errno 111] Connection refused"),
        ("ClientConnectorError", "Cannot connect to host a.org:443 ssl:default [None]"),
        (
            "ConnectionError",
            "HTTPSConnectionPool(host='a.org', port=443): Max retries (Failed to resolve 'a.org')",
        ),
    ],
)
def test_a_host_that_cannot_be_reached_is_one_cause_for_every_library(
    ename: str, evalue: str
) -> None:
    lines = ["Cell In[2], line 1", "----> 1 get('https://a.org/x')"]
    assert failure(ename, evalue, *lines)[2] == "ConnectionError to a.org"


@pytest.mark.parametrize(
    ("ename", "evalue", "signature"),
    [
        ("HTTPError", "HTTP Error 404: Not Found", "HTTPError to a.org"),
        ("SSLError", "certificate verify failed", "SSLError to a.org"),
        ("URLError", "<urlopen error timed out>", "URLError to a.org"),
        ("ProxyError", "[Errno 111] Connection refused", "ProxyError to a.org"),
    ],
)
def test_a_host_that_answers_otherwise_is_another_cause(
    ename: str, evalue: str, signature: str
) -> None:
    lines = ["Cell In[2], line 1", "----> 1 get('https://a.org/x')"]
    assert failure(ename, evalue, *lines)[2] == signature


MISSING = {"ename": "FileNotFoundError", "traceback": []}


@pytest.mark.parametrize(
    "said",
    [
        "  0  0  0  --:--:--  0curl: (6) Could not resolve host: a.org\r\n",
        "wget: unable to resolve host address \u2018a.org\u2019\n",
        "curl: (7) Failed to connect to a.org port 80: Connection refused\n",
    ],
)
def test_a_file_is_missing_because_its_download_failed(said: str) -> None:
    before = [("! curl -O http://a.org/words.txt", said), ("x = 1", "")]
    error = {**MISSING, "evalue": "[Errno 2] No such file or directory: 'data/words.txt'"}
    told = diagnosis.cell_error(error, CELL, before=before)
    assert (told.category, told.signature) == ("network", "ConnectionError to a.org")
    assert told.message.startswith("[Errno 2] No such file or directory: 'data/words.txt' (its")


@pytest.mark.parametrize(
    "before",
    [
        [("! curl -O http://a.org/other.txt", "curl: (6) Could not resolve host: a.org")],
        [("! curl -O http://a.org/words.txt", "100 12345 0 0:00:01")],
    ],
)
def test_a_file_whose_download_did_not_fail_is_just_missing(before: list[tuple[str, str]]) -> None:
    error = {**MISSING, "evalue": "[Errno 2] No such file or directory: 'words.txt'"}
    assert diagnosis.cell_error(error, CELL, before=before).category == "missing-file"


ADDRESS = st.integers(4096, 2**48).map(hex)
NUMBER = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
TIME = st.datetimes().map(lambda when: when.isoformat())
NAME = st.text("abcdefghij", min_size=1, max_size=8)
FOLDER = st.lists(NAME, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names))


@given(address=ADDRESS, number=NUMBER, time=TIME, folder=FOLDER)
def test_a_signature_holds_nothing_that_changes(
    address: str, number: str, time: str, folder: str
) -> None:
    message = f"{folder}/cat.fits of <T at {address}> gave {number} on {time} "
    signature = failure("ValueError", message)[2]
    assert signature == "ValueError: cat.fits of <T at <address>> gave <n> on <time>"
    assert not re.search(r"\d|/", signature)


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_kernel_says_has_a_category_and_one_line(
    ename: str, evalue: str, traceback: str
) -> None:
    category, _, signature = failure(ename, evalue, traceback, printed=traceback)
    assert category in set(Category)
    assert signature == failure(ename, evalue, traceback, printed=traceback)[2]
    assert "\x1b" not in signature
    assert len(signature.encode(errors="replace")) < 5_000


@pytest.mark.parametrize(
    ("how", "oom", "category", "message"),
    [
        (Exit(-9), True, "out-of-memory", "the kernel was killed by the operating system"),
        (Exit(137), True, "out-of-memory", "the kernel was killed by the operating system"),
        (Exit(-9), False, "kernel-died", "the kernel died: killed by SIGKILL (not by nbpipe"),
        (Exit(-11), True, "kernel-died", "the kernel died: killed by SIGSEGV"),
        (Exit(-64), False, "kernel-died", "the kernel died: killed by SIGRTMAX"),
        (Exit(0), False, "kernel-died", "the kernel died: exit code 0"),
        (Exit(None), False, "kernel-died", "the kernel died: killed together with its parent"),
        (Exit(127, error="No such file"), False, "kernel-died", "the kernel died: No such file"),
    ],
)
def test_the_end_of_a_kernel_is_told(how: Exit, oom: bool, category: str, message: str) -> None:  # noqa: FBT001  (a column)
    told = diagnosis.died(how, out_of_memory=oom, cell=CELL, said="last words")
    assert told.category == category
    assert told.message.startswith(message)
    assert (told.traceback, told.cell) == ("last words", 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ImportError", "Failed to import any of the following Qt binding modules: PyQt6, PySide6"),
        (
            "ImportError",
            "Could not load requested Qt binding. Please ensure that PyQt4 is available",
        ),
        ("ImportError", "The GTK3 backends require PyGObject"),
        ("ImportError", "cairo backend requires that pycairo>=1.14.0 or cairocffi is installed"),
        ("ValueError", "Namespace Gtk not available"),
        ("RuntimeError", "'widget' is not a recognised GUI loop or backend name"),
        ("ImportError", "Missing optional dependency 'openpyxl'.  Use pip or conda to install it."),
        ("ValueError", "Mime type rendering requires nbformat>=4.2.0 but it is not installed"),
        ("ValueError", "did not find a match; consider installing additional IO dependencies, see"),
        ("ValueError", "matches: ['netcdf4']. But their dependencies may not be installed, see"),
        ("OptionalTableImportError", "BeautifulSoup must be installed to read HTML tables"),
        ("ImportError", "IProgress not found. Please update jupyter and ipywidgets."),
        ("ImportError", "Install s3fs to access S3"),
        ("ImportError", "Could not import PIL.Image. The use of `load_img` requires PIL."),
        ("ImportError", "libGL.so.1: cannot open shared object file: No such file or directory"),
        (
            "OSError",
            "[E050] Can't find model 'x'. It doesn't seem to be a Python package or a path",
        ),
        ("RuntimeError", "Failed to process string with tex because latex could not be found"),
        ("ExecutableNotFound", "failed to execute PosixPath('dot')"),
        ("NoSuchModuleError", "Can't load plugin: sqlalchemy.dialects:snowflake"),
        ("DistributionNotFound", "The 'x' distribution was not found"),
    ],
)
def test_a_library_says_in_its_own_words_that_a_package_is_missing(name: str, message: str) -> None:
    assert diagnosis.classify(name, message, "") == "missing-package"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ImportError", "cannot import name 'trapz' from 'scipy.integrate'"),
        ("ImportError", "Numba needs NumPy 2.1 or less. Got NumPy 2.2."),
        ("ImportError", "numpy.core.multiarray failed to import"),
        (
            "ImportError",
            "Cannot load backend 'TkAgg' which requires the 'tk' interactive framework",
        ),
        ("ImportError", "attempted relative import with no known parent package"),
        ("ImportError", "Pandas requires version '2.0' or newer of 'x' (version '1' installed)"),
        ("ValueError", "the column 'x' is required"),
    ],
)
def test_a_package_that_is_there_is_not_missing(name: str, message: str) -> None:
    assert diagnosis.classify(name, message, "") == "exception"


def test_an_exception_over_a_missing_module_is_a_missing_package() -> None:
    traceback = "ModuleNotFoundError: No module named 'h5py'\n\nDuring handling of the above\n"
    message = "h5py is required to read and write HDF5 files"
    assert diagnosis.classify("Exception", message, traceback) == "missing-package"
    assert diagnosis.classify("KeyError", "'flux'", traceback) == "exception"
    missing = "f() missing 1 required positional argument: 'x'"
    assert diagnosis.classify("TypeError", missing, traceback) == "exception"


@pytest.mark.parametrize(
    ("said", "name", "message"),
    [
        ("\x1b[96m1:5\x1b[0m - \x1b[91merror\x1b[0m TS2304: Cannot find name 'x'.\n\n1 x\n  ~\n",
         "", "error TS2304: Cannot find name 'x'."),
        ("1:5 - Cannot find name 'x'.\n2:1 - Also y.\n", "", "Cannot find name 'x'."),
        ("ReferenceError: x is not defined\n    at evalmachine.<anonymous>:1:1\n",
         "ReferenceError", "x is not defined"),
        ("Traceback (most recent call last):\n  File ...\nKeyError: 'a'\nValueError: last\n",
         "ValueError", "last"),
        ("something went wrong\nhelp is on its way\n", "", "help is on its way"),
    ],
)  # fmt: skip
def test_an_error_without_a_name_is_what_stands_on_stderr(
    said: str, name: str, message: str
) -> None:
    told = diagnosis.cell_error({"ename": "", "evalue": "", "traceback": []}, CELL, said=said)
    assert (told.name, told.message) == (name, message)


def test_a_traceback_stands_in_for_a_name() -> None:
    told = diagnosis.cell_error({"traceback": ["...", "ValueError: bad"]}, CELL)
    assert (told.name, told.message) == ("ValueError", "bad")


def test_two_errors_without_any_reason_are_two_causes() -> None:
    other = replace(CELL, node=v4.new_code_cell("g()"))
    first, second = (diagnosis.cell_error({}, cell).signature for cell in (CELL, other))
    assert first != second
