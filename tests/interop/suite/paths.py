"""Where things are."""

import os
import tomllib
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent.parent
PARTS = INTEROP / "parts"
SETTINGS = INTEROP / "settings"
# What `snihub party add` gives a party: the suite runs the same lines.
TEMPLATES = ROOT / "src/party/templates"
# Shared with `cargo test`: becomes its arguments with splice(2) forbidden.
UNDER_SECCOMP = ROOT / "tests/it/tunnel/under_seccomp.py"

VERSIONS = tomllib.loads((INTEROP / "versions.toml").read_text())


def target():
    """Cargo's target folder."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()


def render(file, **values):
    """A file of TEMPLATES or SETTINGS with its {placeholders} filled in. JSON and YAML have braces of their own,
    so only those that are given are touched."""
    folder = TEMPLATES if (TEMPLATES / file).is_file() else SETTINGS
    text = (folder / file).read_text()
    for key, value in values.items():
        text = text.replace("{" + key + "}", str(value))
    return text
