"""One FATE party: the federation code of PyPI's pyfate, not a line of it changed, over Pulsar in
replication mode. It makes cluster entry, tenant, namespace and topics by itself, from FATE's route
table alone.

    fate_party.py guest | host PARTY ADDRESS PEER SESSION ROUTE_TABLE FOLDER

Objects go both ways, then a table of 1,000 rows; both sides check what they got. Prints one JSON
line with the bytes of payload it sent.
"""

import hashlib
import importlib.util
import json
import os
import random
import sys
import time
import types


def seat_fate():
    """Has FATE's federation importable without the 3 GB that the rest of it needs: its packages
    are seated bare, so that their __init__ (which import all of FATE, and torch) do not run."""
    root = importlib.util.find_spec("fate").submodule_search_locations[0]
    for name, path in (("fate", root), ("fate.arch", os.path.join(root, "arch"))):
        module = types.ModuleType(name)
        module.__path__ = [path]
        module.__version__ = "2.2.0"
        sys.modules[name] = module
    # The pickler asks for these two only by isinstance.
    context = types.ModuleType("fate.arch.context")
    context.Context = type("Context", (), {})
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    sys.modules.update({"fate.arch.context": context, "torch": torch})


seat_fate()

from fate.arch.computing.backends.standalone import CSession
from fate.arch.federation.api import TableRemotePersistentPickler as Pickler
from fate.arch.federation.api import TableRemotePersistentUnpickler as Unpickler
from fate.arch.federation.backends.pulsar import PulsarFederation
from ruamel import yaml

MESSAGE = 1 << 20
ROWS = [(number, random.Random(number).randbytes(1024)) for number in range(1000)]
OBJECT = {"hello": "from guest", "numbers": list(range(10)), "weights": random.Random(7).randbytes(100_000)}


def digest(rows):
    total = hashlib.sha256()
    for key, value in sorted(rows):
        total.update(b"%d" % key + value)
    return total.hexdigest()


def main():
    role, party, address, peer, session, route_table, folder = sys.argv[1:]
    peers = {"guest": ("host", peer), "host": ("guest", peer)}
    them = peers[role]
    with open(route_table) as file:
        routes = yaml.safe_load(file)
    computing = CSession(session_id=f"{session}-{party}", data_dir=folder, logger_config=None)
    federation = PulsarFederation.from_conf(
        session, computing, (role, party), [(role, party), them], route_table=routes, mode="replication",
        host=address, port=6650, mng_port=8080, topic_ttl=30, cluster="standalone", tenant="fl-tenant",
        max_message_size=MESSAGE, pulsar_run={}, connection={},
    )  # fmt: skip
    context = sys.modules["fate.arch.context"].Context()

    def put(name, value):
        Pickler.push(value, federation, computing, name, "default", [them], MESSAGE, 2)

    def get(name):
        received = federation.pull_bytes(name, "default", [them])[0]
        return Unpickler.pull(received, context, federation, name, "default", them)

    began = time.time()
    if role == "guest":
        put("object", OBJECT)
        assert get("reply") == {"seen": OBJECT}, "another object came back"
        put("table", computing.parallelize(ROWS, include_key=True, partition=2))
        assert get("digest") == digest(ROWS), "the host saw another table"
        # FATE writes a table's values as hexadecimal digits.
        sent = len(OBJECT["weights"]) + 2 * sum(len(value) for _, value in ROWS)
    else:
        seen = get("object")
        assert seen == OBJECT, "another object came"
        put("reply", {"seen": seen})
        rows = list(get("table").collect())
        assert len(rows) == len(ROWS), f"{len(rows)} rows came of {len(ROWS)}"
        put("digest", digest(rows))
        sent = len(OBJECT["weights"])
    took = time.time() - began
    # What was sent last is still on its way.
    time.sleep(3)
    print(json.dumps({"role": role, "sent": sent, "seconds": took}), flush=True)
    # FATE's threads never end by themselves.
    os._exit(0)


main()
