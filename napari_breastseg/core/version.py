"""The version of this package, and of those that shape a result."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__", "software_versions"]

__version__ = "0.1.0"


def software_versions() -> dict[str, str]:
    """Versions of this package and of those that shape a result."""
    versions = {}
    for package in ("napari-breastseg", "torch", "monai", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
