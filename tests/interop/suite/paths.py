"""Where things are."""

import os
import tomllib
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent.parent
PARTS = INTEROP / "parts"
SETTINGS = INTEROP / "settings"
# Shared with `cargo test`: becomes its arguments with splice(2) forbidden.
UNDER_SECCOMP = ROOT / "tests/it/tunnel/under_seccomp.py"

VERSIONS = tomllib.loads((INTEROP / "versions.toml").read_text())


def target():
    """Cargo's target folder."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()


def render(name, **values):
    """A file of settings/ with its {placeholders} filled in. JSON and YAML have braces of their own,
    so only those that are given are touched."""
    text = (SETTINGS / name).read_text()
    for key, value in values.items():
        text = text.replace("{" + key + "}", str(value))
    return text
