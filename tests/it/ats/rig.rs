//! Folders as ATS has them, and the hub in its place.

use crate::support::log::Log;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::{fs, io};

/// records.config of FATE's guide, with a port of its own and the guide's `//` lines.
pub(super) fn records(port: u16, sni: &str) -> String {
    format!(
        "\
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.reverse_proxy.enabled INT 0
CONFIG proxy.config.url_remap.remap_required INT 0
CONFIG proxy.config.url_remap.pristine_host_hdr INT 0
CONFIG proxy.config.http.response_server_enabled INT 0

// where it listens
CONFIG proxy.config.http.server_ports STRING 8080 8080:ipv6 {port}:ssl:ip-in=127.0.0.1

CONFIG proxy.config.http.connect_ports STRING 443 1024-65535
// certificates
CONFIG proxy.config.ssl.CA.cert.filename STRING ca.cert.pem
CONFIG proxy.config.ssl.CA.cert.path STRING /opt/proxy
CONFIG proxy.config.ssl.server.cert.path STRING /opt/proxy
{sni}"
    )
}

/// The line that names the routes file.
pub(super) fn servername(path: &str) -> String {
    format!("CONFIG proxy.config.ssl.servername.filename STRING {path}\n")
}

/// A port that was free a moment ago: a file has to name one.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Files into a folder.
pub(super) fn lay(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// `snihub` with these words, to its end.
pub(super) fn snihub(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(words)
        .output()
        .unwrap()
}

/// What it said on stdout.
pub(super) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A hub that some command has started, its log at hand; killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) log: Arc<Log>,
}

impl Running {
    /// Starts it and waits until it listens on `port`.
    pub(super) fn start(command: &mut Command, port: u16) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error: io::Error| panic!("{command:?}: {error}"));
        let log = Arc::<Log>::default();
        log.gather(child.stdout.take().unwrap());
        log.gather(child.stderr.take().unwrap());
        let running = Running { child, log };
        running.said(&format!("listening on 127.0.0.1:{port}"));
        running
    }

    /// Waits for a line with these words, past or to come.
    pub(super) fn said(&self, words: &str) -> String {
        self.log.wait_text(words)
    }

    /// The process that was started; what it became by `exec` is the same.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the hub's last lines:\n{}", self.log.tail());
        }
    }
}

/// Where a hub with that port listens.
pub(super) fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A ConfigMap's folder as the kubelet lays it out: `..data` leads to a folder with a time for a
/// name, and each file is a link through it.
pub(super) struct ConfigMap {
    mount: PathBuf,
    version: u32,
}

impl ConfigMap {
    /// Mounts it with its first content.
    pub(super) fn mount(mount: &Path, files: &[(&str, &str)]) -> ConfigMap {
        let mut map = ConfigMap {
            mount: mount.to_owned(),
            version: 0,
        };
        map.update(files);
        for (name, _) in files {
            let link = mount.join(name);
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
        map
    }

    /// The kubelet's update (pkg/volume/util/atomic_writer.go): the new folder whole, then one rename
    /// of the link, then the old one goes.
    pub(super) fn update(&mut self, files: &[(&str, &str)]) {
        let folder = |version| format!("..2026_11_28_11_20_04.{version}");
        self.version += 1;
        let new = folder(self.version);
        lay(&self.mount.join(&new), files);
        let temporary = self.mount.join("..data_tmp");
        std::os::unix::fs::symlink(&new, &temporary).unwrap();
        fs::rename(temporary, self.mount.join("..data")).unwrap();
        drop(fs::remove_dir_all(
            self.mount.join(folder(self.version - 1)),
        ));
    }
}
