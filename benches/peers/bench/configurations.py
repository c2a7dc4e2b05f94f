"""What each peer is told: one listener, two workers, an exact and a wildcard route, no record of
connections. HAProxy's and Traffic Server's are the interop suite's."""

import re

HOST = "127.0.0.1"


def hub(port, routes, tunnels):
    """hub.yaml and sni.yaml; `tunnels` where the default would be too few for the idle ones."""
    settings = f"workers: 2\nadmin: off\nlisten: ['{HOST}:{port}']\n" + (f"limits: {{tunnels: {tunnels}}}\n" if tunnels else "")
    return settings, "sni:\n" + "".join(f"- fqdn: '{name}'\n  tunnel_route: {to}\n" for name, to in routes.items())


def nginx(port, routes, module, folder, connections, buffer=None):
    """A map of names, a listener per worker; `buffer` in place of its default of 16 KiB."""
    size = f"    proxy_buffer_size {buffer};\n" if buffer else ""
    names = "".join(f"    {name} {target};\n" for name, target in routes.items())
    return f"""\
load_module {module};
user root;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 2;
worker_rlimit_nofile {2 * connections + 300};
events {{
  worker_connections {2 * connections + 100};
}}
stream {{
  map $ssl_preread_server_name $party {{
    hostnames;
{names}  }}
  server {{
    listen {HOST}:{port} reuseport backlog=4096;
    ssl_preread on;
    preread_timeout 10s;
    proxy_connect_timeout 5s;
    proxy_timeout 1h;
    # FIN as FIN: else a client's FIN ends both directions, and what is still to come is lost.
    proxy_half_close on;
{size}    proxy_pass $party;
  }}
}}
"""


def sniproxy(port, routes, folder):
    """It has one thread: two of it share the port."""

    def pattern(name):
        return "^" + re.escape(name).replace(r"\*", ".*") + "$"

    table = "".join(f"  {pattern(name)} {target}\n" for name, target in routes.items())
    return f"""\
user root
pidfile {folder}/sniproxy.pid
error_log {{
  filename {folder}/sniproxy.log
  priority warning
}}
listener {HOST}:{port} {{
  protocol tls
  table parties
  reuseport yes
}}
table parties {{
{table}}}
"""
