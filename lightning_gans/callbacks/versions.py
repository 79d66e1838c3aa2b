"""Versions of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str:
    """Return the version of a package, "" where it is not installed, as in a checkout on the path."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
