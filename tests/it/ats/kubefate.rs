//! KubeFATE's chart finds the hub where it looks for Traffic Server: the command, the mounts, the
//! first party that comes later, and the commands that people type.

use super::rig::{ConfigMap, Running, at, free_port, lay, records, servername};
use crate::support::dir::TempDir;
use crate::support::party::{Link, Party};
use crate::support::program;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A root folder with the image's commands and the chart's mounts.
struct Pod {
    root: TempDir,
    routes: ConfigMap,
    port: u16,
}

impl Pod {
    /// `sni`: of the ConfigMap, as the chart renders it.
    fn new(sni: &str) -> Pod {
        let (root, port) = (TempDir::new(), free_port());
        let bin = root.path().join("opt/trafficserver/bin");
        fs::create_dir_all(&bin).unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubefate");
        for name in ["traffic_manager", "traffic_ctl"] {
            program::copy(ours.join(name), &bin.join(name));
            fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        // subPath: plain files, never refreshed.
        lay(
            &root.path().join("etc/trafficserver"),
            &[
                (
                    "records.config",
                    &records(port, &servername("sni/sni.yaml")),
                ),
                (
                    "ssl_multicert.config",
                    "dest_ip=* ssl_cert_name=proxy.cert.pem ssl_key_name=proxy.key.pem\n",
                ),
            ],
        );
        let secret = [("proxy.cert.pem", "-"), ("proxy.key.pem", "-")];
        lay(
            &root.path().join("opt/trafficserver/etc/trafficserver"),
            &secret,
        );
        lay(&root.path().join("opt/proxy"), &secret);
        let mount = root.path().join("opt/trafficserver/etc/trafficserver/sni");
        let routes = ConfigMap::mount(&mount, &[("sni.yaml", sni)]);
        Pod { root, routes, port }
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.root.path().join("opt/trafficserver/bin").join(name)
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("admin.sock")
    }

    /// In the image `snihub` stands in PATH; here it also gets a socket of its own.
    fn command(&self, argv0: &str) -> Command {
        let wrapper = self.root.path().join("bin");
        fs::create_dir_all(&wrapper).unwrap();
        let script = format!(
            "#!/bin/sh\ncommand=$1\nshift\nexec '{}' \"$command\" --admin '{}' \"$@\"\n",
            env!("CARGO_BIN_EXE_snihub"),
            self.socket().display()
        );
        if !wrapper.join("snihub").exists() {
            fs::write(wrapper.join("snihub"), script).unwrap();
            fs::set_permissions(wrapper.join("snihub"), Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(argv0);
        command.env("PATH", format!("{}:{path}", wrapper.display()));
        command
    }

    /// The chart's very command.
    fn start(&self) -> Running {
        let mut command = self.command("/bin/bash");
        command.arg("-c").arg(self.bin("traffic_manager"));
        Running::start(&mut command, self.port)
    }

    fn traffic_ctl(&self, words: &[&str]) -> (Option<i32>, String) {
        let output: Output = self
            .command(self.bin("traffic_ctl").to_str().unwrap())
            .args(words)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

/// As the chart renders it.
fn rendered(entries: &[(&str, Party)]) -> String {
    let entry = |(name, party): &(&str, Party)| {
        format!("\n  - fqdn: {name}\n    tunnel_route: {}", party.addr)
    };
    let entries: String = entries.iter().map(entry).collect();
    format!("sni:{entries}\n")
}

#[test]
fn the_charts_command_on_the_charts_mounts() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    // What it renders until the first party exists.
    let mut pod = Pod::new(&rendered(&[]));
    let hub = pod.start();
    hub.said("no routes: every client is refused until sni.yaml has one");
    hub.said("\"8080\" is not opened");
    let (code, text) = pod.traffic_ctl(&["server", "status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("Proxy -- on\n"), "{text}");
    assert!(text.contains("NOT READY: no routes are loaded"), "{text}");
    // The shell and both scripts have become the hub: it gets the kubelet's SIGTERM.
    let pid = format!("pid {}, up", hub.pid());
    assert!(text.contains(&pid), "{pid} is not in {text}");
    let alert = Link::open(at(pod.port), "9999.fate.org", a).unwrap_err();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 112]);

    pod.routes
        .update(&[("sni.yaml", &rendered(&[("9999.fate.org", a)]))]);
    let (mut link, took) = Link::open_soon(at(pod.port), "9999.fate.org", a);
    println!("routed {took:?} after the swap");
    link.exchange(300_000).unwrap();
    let (code, text) = pod.traffic_ctl(&["server", "status"]);
    assert!(
        code == Some(0) && text.contains("state        ready"),
        "{text}"
    );

    pod.routes.update(&[(
        "sni.yaml",
        &rendered(&[("9999.fate.org", a), ("10000.fate.org", b)]),
    )]);
    Link::open_soon(at(pod.port), "10000.fate.org", b);
    link.exchange(300_000)
        .expect("a standing link was disturbed");
}

#[test]
fn the_commands_that_people_type() {
    let a = Party::start(b'a');
    let mut pod = Pod::new(&rendered(&[("9999.fate.org", a)]));
    let (code, text) = pod.traffic_ctl(&["server", "status"]);
    assert!(
        code == Some(71) && text.contains("Proxy -- off"),
        "{code:?} {text}"
    );
    let hub = pod.start();
    let (code, text) = pod.traffic_ctl(&["config", "reload"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("unchanged") || text.contains("nothing changed"),
        "{text}"
    );
    pod.routes
        .update(&[("sni.yaml", "sni:\n  - fqdn: a\n    tunnel_route: h:70000\n")]);
    let (code, text) = pod.traffic_ctl(&["config", "reload"]);
    assert_eq!(code, Some(78), "{text}");
    assert!(
        text.contains("sni.yaml:3:21: tunnel_route: port \"70000\""),
        "{text}"
    );
    // What is wrong stands last, and is not lost among what was skipped in records.config.
    assert!(!text.contains("note: "), "{text}");
    let rest = text.split("tunnel_route: port").nth(1).unwrap();
    assert!(!rest.contains("warning: "), "{text}");
    Link::open(at(pod.port), "9999.fate.org", a).expect("the old table stays in force");
    drop(hub);
    let (code, text) = pod.traffic_ctl(&["config", "get", "proxy.config.http.server_ports"]);
    assert_eq!(code, Some(64));
    assert!(
        text.contains("'config reload' and 'server status'"),
        "{text}"
    );
}
