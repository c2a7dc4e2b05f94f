"""The hub's peers, unpacked from Debian's packages, with the configuration that does the same."""

import re
import subprocess

from .check import Failure, wait_for
from .process import Process
from .sandbox import HUB_ADDRESS, HUB_NAME

HAPROXY_MODES = {
    "plain": ("", ""),
    "splice": ("", "option splice-auto"),
    # Debian's default of 64 KiB takes 16 pages; 1 MiB is what root may have without limit.
    "splice, 1 MiB pipes": ("tune.pipesize 1048576", "option splice-request\n  option splice-response"),
}


def libraries(debian):
    """Where the unpacked programs find what is unpacked beside them: some packages still have it in /lib."""
    found = {path.parent for folder in ("lib", "usr/lib") for path in (debian / folder).rglob("*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(map(str, sorted(found)))}


def haproxy(debian, folder, port, routes, mode):
    """HAProxy on `port`; `routes` maps names to HOST:PORT."""
    folder.mkdir(parents=True)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(haproxy_configuration(port, routes, mode))
    argv = [debian / "usr/sbin/haproxy", "-db", "-f", configuration]
    return listening(Process(f"HAProxy, {mode}", argv, folder / "haproxy.log", libraries(debian)), port)


def haproxy_configuration(port, routes, mode, limits="maxconn 4000"):
    """`routes` may have names and `*.suffix`."""
    tuning, splicing = HAPROXY_MODES[mode]
    text = f"""\
global
  nbthread 2
  {limits}
  {tuning}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  {splicing}
frontend hub
  bind {HUB_ADDRESS}:{port}
  tcp-request inspect-delay 10s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
"""
    for nth, name in enumerate(routes):
        names = f"-m end {name[1:]}" if name.startswith("*.") else name
        text += f"  use_backend party{nth} if {{ req.ssl_sni -i {names} }}\n"
    for nth, target in enumerate(routes.values()):
        text += f"backend party{nth}\n  server party {target}\n"
    return text


def traffic_server(debian, folder, port, routes, authority):
    """Apache Traffic Server with the FATE guide's configuration, in a root of its own."""
    argv = traffic_server_files(debian, folder, port, routes, authority)
    return listening(Process("Traffic Server", argv, folder / "out.log", libraries(debian)), port)


def traffic_server_files(debian, folder, port, routes, authority):
    """Writes them; the command that runs on them."""
    etc, var = folder / "etc", folder / "var"
    for part in (etc, var / "run", var / "log", var / "cache"):
        part.mkdir(parents=True, exist_ok=True)
    certificate, key = authority.issue("hub", HUB_NAME)
    layout = {
        "prefix": folder, "exec_prefix": debian / "usr", "bindir": debian / "usr/bin", "sbindir": debian / "usr/sbin",
        "sysconfdir": etc, "datadir": var / "cache", "includedir": debian / "usr/include",
        "libdir": debian / "usr/lib/trafficserver", "libexecdir": debian / "usr/lib/trafficserver/modules",
        "localstatedir": var, "runtimedir": var / "run", "logdir": var / "log", "cachedir": var / "cache",
    }  # fmt: skip
    (folder / "runroot.yaml").write_text("".join(f"{key}: {path}\n" for key, path in layout.items()))
    records = {
        "http.cache.http": "INT 0",
        "reverse_proxy.enabled": "INT 0",
        "url_remap.remap_required": "INT 0",
        "url_remap.pristine_host_hdr": "INT 0",
        "http.response_server_enabled": "INT 0",
        "http.server_ports": f"STRING {port}:ssl",
        "http.connect_ports": "STRING 443 6650-6700 30000-33000",
        "body_factory.template_sets_dir": f"STRING {debian / 'etc/trafficserver/body_factory'}",
        "ssl.CA.cert.filename": f"STRING {authority.certificate.name}",
        "ssl.CA.cert.path": f"STRING {authority.folder}",
        "ssl.server.cert.path": f"STRING {certificate.parent}",
        "ssl.server.private_key.path": f"STRING {certificate.parent}",
        # As many threads as the others have, and no other user.
        "exec_thread.autoconfig": "INT 0",
        "exec_thread.limit": "INT 2",
        "admin.user_id": "STRING #-1",
    }
    (etc / "records.config").write_text("".join(f"CONFIG proxy.config.{key} {value}\n" for key, value in records.items()))
    (etc / "ssl_multicert.config").write_text(f"dest_ip=* ssl_cert_name={certificate.name} ssl_key_name={key.name}\n")
    entries = "".join(f"  - fqdn: '{name}'\n    tunnel_route: {target}\n" for name, target in routes.items())
    (etc / "sni.yaml").write_text("sni:\n" + entries)
    for name in ("cache", "hosting", "parent", "plugin", "remap", "splitdns", "storage", "volume", "socks"):
        (etc / f"{name}.config").touch()
    (etc / "ip_allow.yaml").write_text("ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n")
    (etc / "logging.yaml").write_text("logging: {}\n")
    return [debian / "usr/bin/traffic_server", f"--run-root={folder}"]


def versions(debian):
    """What Debian had."""

    def version(*argv):
        done = subprocess.run(argv, capture_output=True, text=True, env=libraries(debian))
        if number := re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr):
            return number.group()
        raise Failure(f"{argv[0]} does not tell its version: {done.stderr.strip()[-200:]}")

    return {
        "HAProxy": version(debian / "usr/sbin/haproxy", "-v"),
        "Traffic Server": version(debian / "usr/bin/traffic_server", "-V"),
    }


def listening(process, port):
    def answers():
        process.check_alive()
        return subprocess.check_output(["ss", "-tlnH", "sport", "=", f":{port}"])

    wait_for(f"{process.name} ({process.log})", 30, answers)
    return process
