"""Certificates as `snihub pki` makes them for those who read them here."""

from . import process

# Of each layout, the certificate and the key that go with it.
FILES = {
    "pulsar": ("broker.cert.pem", "broker.key-pk8.pem"),
    "hub": ("proxy.cert.pem", "proxy.key.pem"),
    "flower": ("server.pem", "server.key"),
}


class Authority:
    """An authority of its own in `folder`."""

    def __init__(self, snihub, folder):
        self.snihub, self.folder = snihub, folder
        self.certificate = folder / "ca.cert.pem"
        self.run("init", "--plain-key", "--domain", "fate.org")

    def issue(self, layout, *names, hub=None):
        """Certificate and key for these names, made at the first call; with `hub`, the hub's name is among them."""
        pair = self.pair(layout, names[0])
        if not pair[0].exists():
            self.run("issue", layout, *names, *(["--cpp-clients", hub] if hub else []))
        return pair

    def pair(self, layout, name):
        return tuple(self.folder / "issued" / layout / name / file for file in FILES[layout])

    def run(self, *words):
        log = self.folder.with_name(self.folder.name + ".log")
        process.run(f"snihub pki {words[0]}", [self.snihub, "pki", *words, "--ca", self.folder], log, 60)
