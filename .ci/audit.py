"""Known vulnerabilities of the pinned libraries, by pip-audit; never silent about what it missed.

Run by `make test-faults`. pip-audit lives in an environment of its own, made when it is missing. It
ends well, and says so, where no advisories can be looked up; it fails where a library has one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".venv" / "audit"
SERVICES = ("pypi", "osv")


def main() -> int:
    """Audit, say what came of it, and give the exit code."""
    tool = PLACE / ("Scripts" if sys.platform == "win32" else "bin") / "pip-audit"
    if not tool.exists():
        venv.create(PLACE, with_pip=True)
        pip = [str(tool.with_name("python")), "-m", "pip", "install", "-q", "pip-audit"]
        if subprocess.run(pip, capture_output=True, check=False).returncode:
            print("NOT AUDITED: pip-audit could not be installed.")
            return 0
    for service in SERVICES:
        command = [str(tool), "-r", str(ROOT / "constraints.txt"), "--no-deps", "--disable-pip"]
        command += ["--service", service, "--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            found = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            continue  # no answer
        said, is_bad = verdict(found, service)
        if said:
            print(said)
            return int(is_bad)
    print(f"NOT AUDITED: no advisories could be looked up ({', '.join(SERVICES)}).")
    return 0


def verdict(found: list[dict[str, Any]], service: str) -> tuple[str, bool]:
    """What pip-audit found, in words, and whether something is wrong; "" if it saw nothing."""
    seen = [one for one in found if "skip_reason" not in one]
    if not seen:
        return "", False  # pip-audit itself calls this "No known vulnerabilities found"
    lines = [f"Audited {len(seen)} of {len(found)} libraries ({service})."]
    missed = [one["name"] for one in found if "skip_reason" in one]
    if missed:
        lines.append(f"NOT AUDITED: {', '.join(missed)}.")
    bad = [one for one in seen if one["vulns"]]
    for one in bad:
        ids = ", ".join(v["id"] for v in one["vulns"])
        fixed = sorted({version for v in one["vulns"] for version in v.get("fix_versions", [])})
        mend = f"; fixed in {', '.join(fixed)}" if fixed else ""
        lines.append(f"VULNERABLE: {one['name']} {one['version']}: {ids}{mend}.")
    return "\n".join(lines), bool(bad)


if __name__ == "__main__":
    sys.exit(main())
