"""A test authority and certificates as Pulsar reads them: RSA (brokers up to 3.0 refuse EC keys),
PKCS#8, X.509 v3, one name each unless told otherwise."""

import subprocess


class Authority:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / "ca.pem", folder / "ca.key"
        openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            "-subj", "/CN=star-test-ca", "-keyout", self.key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name, also=(), addresses=()):
        """NAME.crt and NAME.key, for `name`, the names in `also` and the IP addresses."""
        stem = self.folder / name
        request, extensions = stem.with_name(name + ".csr"), stem.with_name(name + ".ext")
        names = ",".join([*(f"DNS:{each}" for each in (name, *also)), *(f"IP:{each}" for each in addresses)])
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        certificate, key = self.pair(name)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl(
            "x509", "-req", "-days", "3650", "-sha256", "-in", request, "-out", certificate,
            "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-extfile", extensions,
        )  # fmt: skip
        return certificate, key

    def pair(self, name):
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


def openssl(*argv):
    subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)
