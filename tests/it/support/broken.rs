//! Broken files, each with the mistake that must be named: `check`, `run` and `explain` give the
//! same verdict on each.

use super::dir::TempDir;
use snihub::config::Sources;

/// One broken file.
pub(crate) struct Case {
    /// `hub.yaml` (beside a good sni.yaml) or `sni.yaml` (beside no hub.yaml).
    pub(crate) file: &'static str,
    /// What is in it.
    pub(crate) content: &'static [u8],
    /// Line and column, from 1; 0, 0: the whole file.
    pub(crate) at: (u32, u32),
    /// The problem's key.
    pub(crate) key: &'static str,
    /// A part of the problem's text.
    pub(crate) text: &'static str,
}

/// A table without fault.
pub(crate) const GOOD: &str = "sni:\n- fqdn: 10000.fate.org\n  tunnel_route: 192.168.0.2:6651\n";

impl Case {
    /// Writes the files into `dir`.
    pub(crate) fn sources(&self, dir: &TempDir) -> Sources {
        if self.file == "hub.yaml" {
            dir.write("sni.yaml", GOOD);
        } else {
            dir.write("hub.yaml", "# nothing\n");
        }
        dir.write(self.file, self.content);
        Sources {
            config: Some(dir.path().join("hub.yaml")),
            routes: Some(dir.path().join("sni.yaml")),
            ..Sources::default()
        }
    }
}

/// All broken files.
pub(crate) fn cases() -> Vec<Case> {
    let hub = HUB.iter().map(|case| ("hub.yaml", case));
    let sni = SNI.iter().map(|case| ("sni.yaml", case));
    hub.chain(sni)
        .map(|(file, (content, at, key, text))| Case {
            file,
            content,
            at: *at,
            key,
            text,
        })
        .collect()
}

type Row = (&'static [u8], (u32, u32), &'static str, &'static str);

const HUB: &[Row] = &[
    (b"listen: []\n", (1, 9), "listen", "an empty list"),
    (b"routes: \"\"\n", (1, 9), "routes", "is no path"),
    (
        b"listen:\n- localhost:443\n",
        (2, 3),
        "listen",
        "\"localhost:443\" is not an address",
    ),
    (
        b"listen: [\":443\", \":443\"]\n",
        (1, 18),
        "listen",
        "listed twice",
    ),
    (
        b"listen: [\":443\", 0.0.0.0:443]\n",
        (1, 18),
        "listen",
        "takes IPv4, too",
    ),
    (
        b"listen: [\":443\", 127.0.0.1:443]\n",
        (1, 18),
        "listen",
        "[::]:443 takes IPv4, too; remove 127.0.0.1:443",
    ),
    (
        b"listen: [\"[::1]:443\", \":443\"]\n",
        (1, 23),
        "listen",
        "[::]:443 takes every address; remove [::1]:443",
    ),
    (
        b"listen: [10.0.0.1:443, 0.0.0.0:443]\n",
        (1, 24),
        "listen",
        "0.0.0.0:443 takes every address; remove 10.0.0.1:443",
    ),
    (
        b"listen:\n- {address: 443, name: \"a:b\"}\n",
        (2, 24),
        "name",
        "\"a:b\" is not a name of sockets (FileDescriptorName= of a socket unit)",
    ),
    (
        b"listen:\n- {address: 443, name: a}\n- {address: 444, name: a}\n",
        (3, 3),
        "name",
        "two items have the name \"a\"",
    ),
    (
        b"listen:\n- address: :443\n  proxy_protocol: required\n",
        (3, 19),
        "proxy_protocol",
        "needs `trusted`",
    ),
    (
        b"listen:\n- {address: 443, proxy_protocol: maybe}\n",
        (2, 34),
        "proxy_protocol",
        "\"maybe\" is not one of off, required",
    ),
    (
        b"listen:\n- {address: 443, proxy_protocol: required, trusted: [10.0.0.1/8]}\n",
        (2, 54),
        "trusted",
        "did you mean 10.0.0.0/8?",
    ),
    (
        b"listen:\n- {proxy_protocol: off}\n",
        (2, 3),
        "listen",
        "without address",
    ),
    (
        b"workers: 0\n",
        (1, 10),
        "workers",
        "\"0\" is not a number in 1..=1024, nor auto",
    ),
    (
        b"connect_ports: 443 70000\n",
        (1, 20),
        "connect_ports",
        "\"70000\" is not a port",
    ),
    (
        b"max_client_hello: 64KB\n",
        (1, 19),
        "max_client_hello",
        "is not a size",
    ),
    (
        b"max_client_hello: 1GiB\n",
        (1, 19),
        "max_client_hello",
        "is not in 4KiB..=1MiB",
    ),
    (
        b"hello_timeout: 10\n",
        (1, 16),
        "hello_timeout",
        "\"10\" has no unit",
    ),
    (
        b"hello_timeout: off\n",
        (1, 16),
        "hello_timeout",
        "is not in 100ms..=5m",
    ),
    (
        b"dial_timeout: 1h\n",
        (1, 15),
        "dial_timeout",
        "\"1h\" is not in 100ms..=5m",
    ),
    (
        b"dial_timeout: 10s\ndial_timeout_total: 3s\n",
        (2, 21),
        "dial_timeout_total",
        "3s is less than dial_timeout, 10s",
    ),
    (
        b"keepalive: {interval: 500ms}\n",
        (1, 23),
        "interval",
        "is not in 1s..=",
    ),
    (
        b"limits: {per_source: 0}\n",
        (1, 22),
        "per_source",
        "nor off",
    ),
    (
        b"limits:\n  pending_hellos: 10\n  pending_hellos_per_source: 20\n",
        (3, 30),
        "pending_hellos_per_source",
        "20 is more than pending_hellos, 10",
    ),
    (
        b"limit:\n  tunnels: 1\n",
        (1, 1),
        "",
        "did you mean limits?",
    ),
    (
        b"colour: red\n",
        (1, 1),
        "",
        "unknown key \"colour\"; known are listen",
    ),
    (
        b"upgrade_drain: 2d\n",
        (1, 16),
        "upgrade_drain",
        "is not in 1s..=1d",
    ),
    (b"admin: \"\"\n", (1, 8), "admin", "is no path"),
    (
        b"admin_listen: :9901\n",
        (1, 15),
        "admin_listen",
        "is not a loopback address",
    ),
    (
        b"admin_listen: 192.168.0.1:9901\n",
        (1, 15),
        "admin_listen",
        "ssh -L",
    ),
    (
        b"ops_listen: localhost:9100\n",
        (1, 13),
        "ops_listen",
        "is not an address to listen on",
    ),
    (
        b"admin_token_file: \"\"\n",
        (1, 19),
        "admin_token_file",
        "is no path",
    ),
    (
        b"metrics:\n  max_routes: 100001\n",
        (2, 15),
        "max_routes",
        "is not a number in 0..=100000",
    ),
    (
        b"metrics: {routes_on_ops: yes}\n",
        (1, 26),
        "routes_on_ops",
        "is not one of true, false",
    ),
    (
        b"metrics:\n  max_route: 1\n",
        (2, 3),
        "",
        "did you mean max_routes?",
    ),
    (
        b"drain: 1s\ndrain: 2s\n",
        (2, 1),
        "drain",
        "duplicate key, first in line 1",
    ),
    (b"- drain: 1s\n", (1, 1), "", "a list where keys"),
    (
        b"reload: {allow_shrink: yes}\n",
        (1, 24),
        "allow_shrink",
        "is not one of true, false",
    ),
    (b"access_log:\n", (1, 1), "access_log", "has no value"),
];

const SNI: &[Row] = &[
    (b"", (0, 0), "", "the file is empty"),
    (b"routes: []\n", (1, 1), "", "no key `sni`"),
    (b"snl: []\n", (1, 1), "", "did you mean sni?"),
    (b"sni: {fqdn: a}\n", (1, 6), "sni", "a mapping where a list"),
    (
        b"sni:\n- a.org\n",
        (2, 3),
        "sni",
        "\"a.org\" where an entry",
    ),
    (
        b"sni:\n- tunnel_route: h:1\n",
        (2, 3),
        "fqdn",
        "without fqdn",
    ),
    (
        b"sni:\n- fqdn:\n  tunnel_route: h:1\n",
        (2, 3),
        "fqdn",
        "write ''",
    ),
    (
        b"sni:\n- fqdn: *.x.org\n  tunnel_route: h:1\n",
        (2, 9),
        "fqdn",
        "quote it: '*.x.org'",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: 10.0.0.1:70000\n",
        (3, 26),
        "tunnel_route",
        "port \"70000\" is not in",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: http://h:1\n",
        (3, 17),
        "tunnel_route",
        "no scheme",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: ':1'\n",
        (3, 17),
        "tunnel_route",
        "no host",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:https\n",
        (3, 19),
        "tunnel_route",
        "port \"https\"",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: ::1:443\n",
        (3, 17),
        "tunnel_route",
        "needs brackets",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route:\n",
        (3, 3),
        "tunnel_route",
        "has no value",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: [h]\n",
        (3, 17),
        "tunnel_route",
        "a list where one value",
    ),
    (
        b"sni:\n- fqdn: a\n  forward_route: h:1\n",
        (3, 3),
        "forward_route",
        "not built yet",
    ),
    (
        b"sni:\n- fqdn: a\n  partial_blind_route: h:1\n  tunnel_route: h:1\n",
        (4, 17),
        "tunnel_route",
        "two actions in one entry",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_alow: 10.0.0.1\n",
        (4, 3),
        "",
        "did you mean ip_allow?",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: 10.0.0.1, 10.0.0.x\n",
        (4, 23),
        "ip_allow",
        "\"10.0.0.x\" is not an address",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: 10.0.0.9-10.0.0.1\n",
        (4, 13),
        "ip_allow",
        "ends before it begins",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: '@nowhere'\n",
        (4, 13),
        "ip_allow",
        "cannot be used; see there",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: @nowhere\n",
        (4, 13),
        "ip_allow",
        "quote it: '@nowhere'",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: []\n",
        (4, 13),
        "ip_allow",
        "nobody",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  ip_allow: 10.0.0.5/8\n",
        (4, 13),
        "ip_allow",
        "has bits set after its prefix; did you mean 10.0.0.0/8?",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  sources: [192.0.2.1, 2001:db8::1/32]\n",
        (4, 24),
        "sources",
        "did you mean 2001:db8::/32?",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  sources: []\n",
        (4, 12),
        "sources",
        "remove the key if the party's addresses are not known",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  sources: nix\n",
        (4, 12),
        "sources",
        "\"nix\"",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  inbound_port_ranges: [443, 9-1]\n",
        (4, 30),
        "inbound_port_ranges",
        "9-1",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  send_proxy: v3\n",
        (4, 15),
        "send_proxy",
        "v1, v2",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  allow_private: 1\n",
        (4, 18),
        "allow_private",
        "true, false",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  idle_timeout: 5x\n",
        (4, 17),
        "idle_timeout",
        "is not a duration",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_route: h:1\n  verify_client: SOMETIMES\n",
        (4, 18),
        "verify_client",
        "NONE, MODERATE, STRICT",
    ),
    (
        b"sni:\n- fqdn: a\n  fqdn: b\n  tunnel_route: h:1\n",
        (3, 3),
        "fqdn",
        "duplicate key",
    ),
    (
        b"sni:\n- fqdn: &x a\n  tunnel_route: h:1\n",
        (2, 9),
        "fqdn",
        "an anchor",
    ),
    (
        b"sni:\n- fqdn: !!str a\n  tunnel_route: h:1\n",
        (2, 9),
        "fqdn",
        "a tag",
    ),
    (
        b"sni:\n- fqdn: 'a\n  tunnel_route: h:1\n",
        (2, 9),
        "fqdn",
        "the quote that begins here is not closed",
    ),
    (
        b"sni:\n- fqdn: a\n\ttunnel_route: h:1\n",
        (3, 1),
        "fqdn",
        "a tab; indent with spaces",
    ),
    (
        b"sni:\n- fqdn: a\n  tunnel_rou",
        (3, 3),
        "",
        "a key without",
    ),
    (b"sni: []\n---\nsni: []\n", (2, 1), "", "a second document"),
    (
        b"sni:\n- fqdn: a\xff\n",
        (2, 10),
        "",
        "byte 0xff is not UTF-8",
    ),
    (b"sni:\n- fqdn: a\0b\n", (2, 10), "", "a control character"),
    (
        b"sni:\n- fqdn: \"a\\tb\"\n  tunnel_route: h:1\n",
        (2, 9),
        "fqdn",
        "control character",
    ),
    (b"\xff\xfes\0n\0i\0", (1, 1), "", "byte 0xff is not UTF-8"),
    (
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        (1, 33),
        "",
        "nested more than 32 deep",
    ),
];
