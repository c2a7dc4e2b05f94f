"""Parts of the peer benchmark. Processes, package clients and the peers' configurations are shared
with the interop suite, in `suite`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/interop"))
