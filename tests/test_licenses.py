"""Every package this one requires, and every one those require, has a permissive license.

BSD-3-Clause promises that anybody may build on this package; a required package under the GPL
would take that back. What a license says is read from the packages installed. Extras are the user's
choice (a Qt binding is under the GPL or LGPL), and so are the CUDA libraries of torch's GPU builds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause"),
    *("BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Unlicense", "Zlib"),
    *("Apache Software License", "BSD License", "ISC License (ISCL)", "MIT License"),
    *("Python Software Foundation License",),
    *("3-Clause BSD License", "Apache 2.0", "Apache License 2.0", "BSD"),
}
"""SPDX identifiers, trove classifiers, and the words of packages that have neither."""

REVIEWED = {
    # Mozilla Public License 2.0: who changes their files must publish those files. Used unchanged,
    # it asks nothing of the program around them.
    "certifi": "Mozilla Public License 2.0 (MPL 2.0)",
    "tqdm": "MPL-2.0 AND MIT",
}
"""Licenses that are not permissive and accepted all the same, each with its reason."""


def required() -> dict[str, Distribution]:
    """Installed packages that this one requires, and that those require, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, Distribution] = {}
    seen = set()
    todo = [Requirement(line) for line in project["dependencies"]]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen or name.startswith("nvidia-"):
            continue
        seen.add(key)
        found[name] = distribution(name)
        for line in found[name].requires or []:
            other = Requirement(line)
            extras = ("", *requirement.extras)
            if other.marker is None or any(other.marker.evaluate({"extra": e}) for e in extras):
                todo.append(other)
    return found


def license_of(package: Distribution) -> str:
    """What a package says of its license: SPDX, else its classifiers, else its own words."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or []]
    named = [words[-1] for words in classifiers if words[0] == "License" and len(words) > 1]
    return " AND ".join(named) or (metadata.get("License") or "none").strip().splitlines()[0]


def is_permissive(text: str) -> bool:
    """Whether one alternative of an expression holds permissive licenses only."""
    return any(
        all({part.strip(), part.strip(" ()")} & PERMISSIVE for part in either.split(" AND "))
        for either in text.split(" OR ")
    )


def problems() -> Iterator[str]:
    for name, package in required().items():
        text = license_of(package)
        if not is_permissive(text) and text != REVIEWED.get(name):
            yield f"{name}: {text}"


def test_every_required_package_has_a_permissive_license() -> None:
    assert list(problems()) == []


def test_the_reviewed_packages_are_still_required_and_still_need_it() -> None:
    packages = required()
    assert [name for name in REVIEWED if is_permissive(license_of(packages[name]))] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("Apache-2.0 OR GPL-3.0-or-later", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL V3.0", False),
        ("GNU General Public License v3 (GPLv3) AND Other/Proprietary License", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("LGPL-2.1-or-later", False),
        ("MPL-2.0", False),
        ("UNKNOWN", False),
        ("none", False),
    ],
)
def test_copyleft_and_unclear_licenses_are_told_from_permissive_ones(
    text: str, expected: bool
) -> None:
    assert is_permissive(text) is expected
