"""Which distribution brings a module, for the modules whose names do not tell.

A short list of what science notebooks import; for all others the names are the same.
"""

from __future__ import annotations

import re

from nbpipe.distribution import NAME

_FAMOUS = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "IPython": "ipython",
    "MySQLdb": "mysqlclient",
    "OpenGL": "pyopengl",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "absl": "absl-py",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cairo": "pycairo",
    "community": "python-louvain",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "distutils": "setuptools",
    "dl": "astro-datalab",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "ee": "earthengine-api",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "gi": "pygobject",
    "git": "gitpython",
    "github": "pygithub",
    "google.api": "googleapis-common-protos",
    "google.auth": "google-auth",
    "google.cloud.exceptions": "google-cloud-core",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "googleapiclient": "google-api-python-client",
    "hydra": "hydra-core",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jpype": "jpype1",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "mpl_toolkits.basemap": "basemap",
    "nacl": "pynacl",
    "nbpipe": NAME,
    "odf": "odfpy",
    "osgeo": "gdal",
    "past": "future",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib",
    "pywt": "pywavelets",
    "serial": "pyserial",
    "shapefile": "pyshp",
    "skbio": "scikit-bio",
    "skfuzzy": "scikit-fuzzy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "sksparse": "scikit-sparse",
    "sksurv": "scikit-survival",
    "slugify": "python-slugify",
    "snappy": "python-snappy",
    "socks": "pysocks",
    "sparcl": "sparclclient",
    "speech_recognition": "speechrecognition",
    "stan": "pystan",
    "surprise": "scikit-surprise",
    "tabula": "tabula-py",
    "talib": "ta-lib",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "vtkmodules": "vtk",
    "win32api": "pywin32",
    "win32com": "pywin32",
    "wx": "wxpython",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}

_NOWHERE = {
    *("ROOT", "apt", "azure", "google", "google.cloud", "google.colab", "graph_tool", "lsst"),
    *("asynchat", "asyncore", "imp", "telnetlib", "tkinter", "zoneinfo"),
}
"""What pip does not bring: the site's own, a namespace alone, what is or was Python's."""

_NAMESPACES = {
    "azure": ("-", {"ai", "mgmt", "storage"}),
    "azureml": ("-", set[str]()),
    "backports": (".", set[str]()),
    "google": ("-", {"cloud"}),
    "jaraco": (".", set[str]()),
    "mpl_toolkits": ("-", set[str]()),
    "opentelemetry": ("-", {"exporter", "instrumentation"}),
    "ruamel": (".", set[str]()),
    "sphinxcontrib": ("-", set[str]()),
    "zope": (".", set[str]()),
}
"""Packages that many distributions share: what joins the names of a part, and which of the parts
are shared as well."""

_VERSION = re.compile(r"_v\d\w*$")


def part_of(module: str) -> str:
    """Return what of a module's dotted name tells the distribution: most often the first name."""
    names = module.split(".")
    namespace = _NAMESPACES.get(names[0])
    if namespace is None:
        return names[0]
    length = 3 if len(names) > 1 and names[1] in namespace[1] else 2
    part = ".".join(names[:length])
    if names[0] == "mpl_toolkits" and part not in _FAMOUS:  # matplotlib's own
        return names[0]
    return part


def is_shared(module: str) -> bool:
    """Return whether what is imported from a module may be a distribution of its own."""
    names = module.split(".")
    namespace = _NAMESPACES.get(names[0])
    return namespace is not None and (
        len(names) == 1 or (len(names) == 2 and names[1] in namespace[1])  # noqa: PLR2004
    )


def distribution_of(module: str) -> str:
    """Return the name under which a package index knows a module; empty where it does not.

    Args:
        module: As `part_of` returns it.
    """
    if module in _NOWHERE:
        return ""
    if known := _FAMOUS.get(module):
        return known
    names = module.split(".")
    if len(names) == 1:
        return module
    joint = _NAMESPACES[names[0]][0] if names[0] in _NAMESPACES else "."
    return _VERSION.sub("", joint.join(names)).replace("_", "-")


def normalized(name: str) -> str:
    """Return a distribution's name as names are compared.

    Source: https://packaging.python.org/en/latest/specifications/name-normalization/
    """
    return re.sub(r"[-_.]+", "-", name).lower()
