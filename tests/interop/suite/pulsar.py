"""Real Pulsar standalones, one per party, each on its own loopback address with the same ports
(6650 plain, 6651 TLS, 8080 HTTP, 8081 HTTPS). Some 340 MB of memory and 10 s each."""

import json
import signal
import urllib.error
import urllib.request

from .check import Failure, wait_for
from .paths import SETTINGS, render
from .process import Process
from .sandbox import ADDRESS, HUB_NAME

OPENED = [
    "java.base/java.io", "java.base/java.lang", "java.base/java.util.zip", "java.base/java.nio",
    "java.base/jdk.internal.misc", "java.base/sun.net", "java.base/sun.nio.ch",
    "java.base/jdk.internal.platform", "java.management/sun.management",
    "jdk.management/com.sun.management.internal",
]  # fmt: skip
JAVA = [
    "java", "-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:+UseSerialGC",
    "-XX:ActiveProcessorCount=2", *(f"--add-opens={module}=ALL-UNNAMED" for module in OPENED),
    "-Djute.maxbuffer=10485760", "-Djava.net.preferIPv4Stack=true",
    "-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j.shutdownHookEnabled=false",
    f"-Dlog4j.configurationFile={SETTINGS / 'log4j2.properties'}",
    "-Dbookkeeper.metadata.bookie.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver",
    "-Dbookkeeper.metadata.client.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver",
]  # fmt: skip
TENANT = "fl-tenant"


class Broker:
    """One party's broker. `lines` are its configuration, besides what makes it small."""

    def __init__(self, party, jars, folder, logs, lines):
        self.party, self.jars, self.folder = party, jars, folder
        self.address = ADDRESS[party]
        self.log = logs / f"broker-{party}.log"
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "standalone.conf").write_text((SETTINGS / "standalone.conf").read_text() + lines)

    def start(self):
        """Begins; `wait_ready` ends it."""
        offset = int(self.party) % 900
        # 2.10 has no other store than its own ZooKeeper.
        metadata = [] if self.jars.name.startswith("pulsar-2.10") else ["--metadata-dir", "metadata"]
        self.process = Process(
            f"broker {self.party}",
            [
                *JAVA, "-cp", f"{self.jars}/*", "org.apache.pulsar.PulsarStandaloneStarter",
                "--config", "standalone.conf", "--no-functions-worker", "--no-stream-storage",
                "--bookkeeper-port", 3000 + offset, "--zookeeper-port", 2000 + offset, *metadata,
                "--bookkeeper-dir", "bookkeeper", "--zookeeper-dir", "zookeeper",
            ],
            self.log,
            cwd=self.folder,
        )  # fmt: skip

    def wait_ready(self):
        def answers():
            self.process.check_alive()
            try:
                return self.admin("GET", "namespaces/public").status == 200
            except OSError:
                return False

        wait_for(f"broker {self.party} ({self.log})", 180, answers, every=0.5)

    def stop_gently(self):
        """A standalone that was killed limps after its next start, whatever the hub does."""
        self.process.stop(signal.SIGTERM, patience=60)

    def admin(self, method, path, body=None):
        """One call of the admin API."""
        request = urllib.request.Request(
            f"http://{self.address}:8080/admin/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        return urllib.request.urlopen(request, timeout=60)

    def put(self, path, body, else_post):
        """PUT; what is there already (409) is changed by POST instead."""
        try:
            self.admin("PUT", path, body)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise Failure(f"PUT {path} at {self.party}: {error.code} {error.read()[:300]}") from None
            self.admin("POST", *else_post)

    def know(self, cluster, peer, proxy=f"{HUB_NAME}:443"):
        """The cluster entry by which this broker finds `peer`, as FATE's PulsarManager writes it.
        Without `proxy` it goes straight to the peer."""
        entry = json.loads(render("cluster.json", name=f"{peer}.fate.org", hub=proxy))
        if not proxy:
            del entry["proxyServiceUrl"], entry["proxyProtocol"]
        self.enter(cluster, entry)

    def enter(self, cluster, entry):
        """The cluster entry, new or in the place of another."""
        self.put(f"clusters/{cluster}", entry, else_post=(f"clusters/{cluster}", entry))

    def share(self, namespace, clusters):
        """A namespace that is replicated to `clusters`, and the tenant it needs."""
        everyone = ["standalone", *clusters]
        known = json.load(self.admin("GET", "clusters"))
        allowed = sorted({*everyone, *(c for c in known if c != "global")})
        tenant = {"adminRoles": [], "allowedClusters": allowed}
        self.put(f"tenants/{TENANT}", tenant, else_post=(f"tenants/{TENANT}", tenant))
        path = f"namespaces/{TENANT}/{namespace}"
        self.put(path, {"replication_clusters": everyone}, else_post=(path + "/replication", everyone))
        self.admin("POST", path + "/retention", {"retentionTimeInMinutes": 30, "retentionSizeInMB": -1})

    @property
    def url(self):
        """Where the party's own software finds its broker."""
        return f"pulsar://{self.address}:6650"

    @property
    def upstream(self):
        """Where the hub finds it."""
        return f"{self.address}:6651"
