from __future__ import annotations

import pytest

from nbpipe.checkup.distributions import distribution_of, normalized
from nbpipe.checkup.imports import Import, Imports, Need, installed_by, read_imports
from nbpipe.checkup.needs import r_packages


def read(*cells: str) -> Imports:
    return read_imports(enumerate(cells))


def needed(*cells: str) -> list[str]:
    return [each.module for each in read(*cells).found if each.need is Need.CERTAIN]


def test_every_way_to_import_counts_by_its_top_level_name() -> None:
    source = """
import numpy as np, astropy.units
from scipy.ndimage import median_filter
import importlib
pd = importlib.import_module("pandas.core")
yaml = __import__("yaml")
def late():
    import lazy
class Holder:
    from held import thing
"""
    assert needed(source) == [
        *("numpy", "astropy", "scipy", "importlib", "pandas", "yaml", "lazy", "held"),
    ]


def test_relative_imports_and_names_in_texts_are_no_modules() -> None:
    assert needed("from . import a\nfrom .b import c\n'import d'\n# import e") == []


@pytest.mark.parametrize("caught", ["ImportError", "ModuleNotFoundError", "(OSError, ImportError)"])
def test_a_guarded_import_is_optional(caught: str) -> None:
    source = f"try:\n    import fast\nexcept {caught}:\n    fast = None"
    assert read(source).found == [Import("fast", Need.OPTIONAL)]


def test_a_guard_that_catches_everything_is_a_guard() -> None:
    source = "try:\n    import fast\nexcept:\n    pass"
    assert read(source).found == [Import("fast", Need.OPTIONAL)]


def test_a_guard_that_catches_something_else_is_none() -> None:
    assert needed("try:\n    import fast\nexcept OSError:\n    pass") == ["fast"]


def test_a_guard_that_raises_again_is_none() -> None:
    source = "try:\n    import fast\nexcept ImportError:\n    print('no')\n    raise"
    assert needed(source) == ["fast"]


def test_a_fallback_is_needed_only_without_what_it_stands_for() -> None:
    source = "try:\n    import tomllib\nexcept ImportError:\n    import tomli as tomllib"
    assert read(source).found == [
        Import("tomllib", Need.OPTIONAL),
        Import("tomli", Need.CERTAIN, unless=("tomllib",)),
    ]


def test_a_suppressed_import_is_optional() -> None:
    source = "with contextlib.suppress(ImportError):\n    import fast"
    assert read(source).found == [Import("fast", Need.OPTIONAL)]


def test_an_import_in_a_branch_is_possible() -> None:
    source = "if colab:\n    import google.colab\nelse:\n    import local\nimport sure"
    assert read(source).found == [
        Import("google.colab", Need.POSSIBLE),
        Import("local", Need.POSSIBLE),
        Import("sure", Need.CERTAIN),
    ]


def test_an_import_for_type_checkers_is_none() -> None:
    assert read("if TYPE_CHECKING:\n    import typed").found == []


def test_magics_and_shell_lines_do_not_hide_imports() -> None:
    source = "%matplotlib inline\n!ls -l\nfiles = !ls\nnumpy.sin?\nimport numpy"
    assert needed(source) == ["matplotlib", "numpy"]


def test_cell_magics_that_run_python_are_read() -> None:
    assert needed("%%time\nimport timed", "%%capture out\nimport captured") == ["timed", "captured"]


def test_cells_of_another_language_are_not_read() -> None:
    assert needed("%%bash\nimport screenshot.png", "%%html\n<b>import x</b>") == []


def test_an_extension_is_a_module_unless_it_is_ipythons_own() -> None:
    assert needed("%load_ext autoreload\n%load_ext rpy2.ipython") == ["rpy2"]


def test_what_a_notebook_installs_itself_is_noted() -> None:
    imports = read("%pip install a", "!pip install -q 'b>=2'", "%%bash\nconda install -y c")
    assert imports.installs == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("pip install a b==1 'c[d]<3'", ["a", "b", "c"]),
        ("/usr/bin/pip3 install --upgrade a", ["a"]),
        ("{sys.executable} -m pip install a", ["a"]),
        ("pip install -r requirements.txt a", ["a"]),
        ("pip install git+https://github.com/org/repo.git@v2", ["repo"]),
        ("conda install -c conda-forge -y conda-forge::a", ["a"]),
        ("cd x && pip install a; echo install b", ["a"]),
        ("pip list", []),
        ("apt-get install a", []),
        ("pip install 'a", []),
    ],
)
def test_install_commands_are_read(command: str, names: list[str]) -> None:
    assert installed_by(command) == names


def test_a_module_that_the_notebook_writes_is_known() -> None:
    assert read("%%writefile tools.py\nx = 1").writes == ["tools", "tools"]


def test_folders_added_to_the_path_are_known() -> None:
    source = "import sys, os\nsys.path.append('..')\nsys.path.insert(0, os.path.join('a', 'b'))"
    imports = read(source, "%cd sub")
    assert imports.folders == ["..", "a/b", "sub"]
    assert not imports.has_unknown_folders


def test_a_folder_that_only_a_run_knows_is_said_to_be_unknown() -> None:
    assert read("sys.path.append(str(HERE / 'lib'))").has_unknown_folders


def test_a_cell_that_is_no_python_3_is_said_to_be_unread() -> None:
    imports = read("import a", "print 'two'", "x = '\0'", "import b")
    assert imports.unread == [1, 2]
    assert [each.module for each in imports.found] == ["a", "b"]


def test_the_code_of_a_notebook_brings_no_warnings_here() -> None:
    assert read("import a\n'\\d'\n1 is 1").unread == []


def test_famous_modules_have_their_distributions_names() -> None:
    modules = ["cv2", "sklearn", "skimage", "PIL", "yaml", "bs4", "numpy"]
    assert [distribution_of(module) for module in modules] == [
        *("opencv-python", "scikit-learn", "scikit-image", "pillow", "pyyaml", "beautifulsoup4"),
        "numpy",
    ]


@pytest.mark.parametrize(
    ("code", "distributions"),
    [
        ("import google.cloud.storage", ["google-cloud-storage"]),
        (
            "from google.cloud import storage, bigquery",
            ["google-cloud-storage", "google-cloud-bigquery"],
        ),
        ("from google.cloud import vision_v1 as vision", ["google-cloud-vision"]),
        ("from google.cloud import secretmanager", ["google-cloud-secret-manager"]),
        ("from google.protobuf import text_format", ["protobuf"]),
        ("from google.oauth2 import service_account", ["google-auth"]),
        ("import google.generativeai as genai", ["google-generativeai"]),
        ("from google import genai", ["google-genai"]),
        ("from google.colab import drive", [""]),
        ("import google", [""]),
        ("from google.cloud import *", [""]),
        ("from azure.storage.blob import BlobClient", ["azure-storage-blob"]),
        ("from azure.identity import DefaultAzureCredential", ["azure-identity"]),
        ("from ruamel.yaml import YAML", ["ruamel.yaml"]),
        ("from backports import zoneinfo", ["backports.zoneinfo"]),
        ("from mpl_toolkits.basemap import Basemap", ["basemap"]),
        ("from mpl_toolkits.mplot3d import Axes3D", ["matplotlib"]),
        ("from sklearn.svm import SVC", ["scikit-learn"]),
        ("import tkinter, lsst.geom, ROOT", ["", "", ""]),
        ("import Crypto.Cipher, gi.repository", ["pycryptodome", "pygobject"]),
    ],
)
def test_a_part_of_a_namespace_is_a_distribution_of_its_own(
    code: str, distributions: list[str]
) -> None:
    assert [distribution_of(each.module) for each in read(code).found] == distributions


def test_names_of_distributions_are_compared_as_indexes_do() -> None:
    assert normalized("Scikit_Learn") == normalized("scikit-learn")


def test_packages_of_r_are_read() -> None:
    source = """
library(ggplot2)   # library(no)
suppressPackageStartupMessages(library("dplyr"))
require(MASS)
x <- stats::sd(1)
"""
    assert r_packages([source]) == (["ggplot2", "dplyr", "MASS", "stats"], [])


def test_what_r_code_goes_on_without_is_not_needed() -> None:
    source = """
if (!require("a")) install.packages("a")
try(library(b))
if (requireNamespace("c")) c::f()
library(name, character.only = TRUE)
cat("d::e library(f#)")
"""
    assert r_packages([source]) == ([], ["a"])
