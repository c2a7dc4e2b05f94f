//! The real binary: `snihub run` in a directory of its own, its log read line by line, ended by
//! its pid. Every wait is bounded and fails with the last lines of the log.
//!
//! ```ignore
//! let hub = Hub::start(Options::routes("sni:\n- fqdn: a.example\n  tunnel_route: 127.0.0.1:6651\n"));
//! let client = TcpStream::connect(hub.addr());
//! let record = hub.closed("a.example");
//! assert_eq!(record["ended"], "both_closed");
//! ```

use super::log::Log;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a line of the log or an exit is waited for: generous, since two cores may be shared by
/// every test at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Content of sni.yaml.
    pub(crate) routes: String,
    /// Lines of hub.yaml besides `access_log: json`.
    pub(crate) settings: String,
    /// Arguments after `run --config .. --routes .. --listen 127.0.0.1:0`.
    pub(crate) arguments: Vec<String>,
    /// RLIMIT_NOFILE, hard and soft.
    pub(crate) nofile: Option<u32>,
    /// A hosts file of its own, bind-mounted over /etc/hosts as a container has it.
    pub(crate) hosts: Option<PathBuf>,
    /// No `--listen`: hub.yaml says where.
    pub(crate) listen_of_file: bool,
    /// The admin socket, in its folder.
    pub(crate) admin: Option<&'static str>,
    /// Files in its folder besides, and what is in them.
    pub(crate) files: Vec<(String, String)>,
    /// NOTIFY_SOCKET.
    pub(crate) notify: Option<String>,
    /// A socket that it gets as a service manager passes one, and its name.
    pub(crate) passed: Option<(Arc<OwnedFd>, &'static str)>,
}

impl Options {
    /// Built-in defaults and this table.
    pub(crate) fn routes(routes: impl Into<String>) -> Options {
        Options {
            routes: routes.into(),
            ..Options::default()
        }
    }

    /// The same with lines for hub.yaml.
    pub(crate) fn settings(mut self, lines: impl Into<String>) -> Options {
        self.settings = lines.into();
        self
    }

    /// The same with one argument more.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Options {
        self.arguments.push(argument.into());
        self
    }

    /// The same with hub.yaml's `listen` in place of `--listen 127.0.0.1:0`.
    pub(crate) fn listen_of_file(mut self) -> Options {
        self.listen_of_file = true;
        self
    }

    /// The same with an admin socket, `admin.sock` in its folder. Else it has none.
    pub(crate) fn with_admin(mut self) -> Options {
        self.admin = Some("admin.sock");
        self
    }

    /// The same with one file more in its folder.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Options {
        self.files.push((name.into(), content.into()));
        self
    }

    /// The same with this socket as its only one, passed by this name.
    pub(crate) fn passed(mut self, socket: impl AsFd, name: &'static str) -> Options {
        let socket = socket.as_fd().try_clone_to_owned().unwrap();
        self.passed = Some((Arc::new(socket), name));
        self.listen_of_file()
    }

    /// The same, telling a service manager.
    pub(crate) fn notify(mut self, address: impl Into<String>) -> Options {
        self.notify = Some(address.into());
        self
    }

    /// The same with so many descriptors at most.
    pub(crate) fn nofile(mut self, most: u32) -> Options {
        self.nofile = Some(most);
        self
    }
}

/// A running hub; killed when dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    child: Mutex<Child>,
    folder: PathBuf,
    log: Arc<Log>,
    addr: SocketAddr,
}

impl Hub {
    /// Starts the hub and waits until it listens.
    pub(crate) fn start(options: Options) -> Hub {
        known_to_go_on();
        let folder = new_folder("hub");
        fs::write(folder.join("sni.yaml"), &options.routes).unwrap();
        let admin = options.admin.unwrap_or("off");
        let settings = format!("access_log: json\nadmin: {admin}\n{}\n", options.settings);
        for (name, content) in &options.files {
            fs::write(folder.join(name), content).unwrap();
            // Whatever the umask.
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::write(folder.join("hub.yaml"), settings).unwrap();
        let mut command = match (options.nofile, options.hosts, &options.passed) {
            (None, None, None) => Command::new(env!("CARGO_BIN_EXE_snihub")),
            (None, None, Some(_)) => activated("1"),
            (Some(most), ..) => limited(most),
            (None, Some(hosts), _) => with_hosts(&hosts),
        };
        command.env_remove("NOTIFY_SOCKET");
        if let Some(address) = &options.notify {
            command.env("NOTIFY_SOCKET", address);
        }
        command
            .arg("run")
            .arg("--config")
            .arg(folder.join("hub.yaml"));
        command.arg("--routes").arg(folder.join("sni.yaml"));
        if !options.listen_of_file {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(&options.arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some((socket, name)) = &options.passed {
            command.stdin(socket.try_clone().unwrap());
            command.env("LISTEN_FDNAMES", name);
        }
        let mut child = command.spawn().unwrap();
        let log = Arc::<Log>::default();
        log.gather(child.stdout.take().unwrap());
        log.gather(child.stderr.take().unwrap());
        let unspecified = (Ipv4Addr::UNSPECIFIED, 0).into();
        let mut hub = Hub {
            child: Mutex::new(child),
            folder,
            log,
            addr: unspecified,
        };
        let line = hub.wait_line("`listening on`", |line| listening_on(line).is_some());
        hub.addr = listening_on(&line).unwrap();
        hub
    }

    /// The first address it listens on.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same, its port.
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Where its files lie: `hub.yaml`, `sni.yaml`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Every line of the log so far that is JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// How many there are: where to begin with [`Hub::wait_line_after`].
    pub(crate) fn mark(&self) -> usize {
        self.log.mark()
    }

    /// The `closed` lines so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["message"] == "closed");
        lines
    }

    /// The first line of the log, past or to come, that `wanted` takes.
    pub(crate) fn wait_line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_line_after(0, what, wanted)
    }

    /// The same, from the line with this number on.
    pub(crate) fn wait_line_after(
        &self,
        mark: usize,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.log.wait(mark, what, wanted)
    }

    /// The first `closed` line that `wanted` takes.
    pub(crate) fn wait_record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_line(what, |line| line["message"] == "closed" && wanted(line))
    }

    /// The first `closed` line of a session that asked for this name.
    pub(crate) fn closed(&self, name: &str) -> Value {
        self.wait_record(&format!("closed, name {name}"), |record| {
            record["name"] == name
        })
    }

    /// Replaces sni.yaml as an editor does: a new file, renamed over the old.
    pub(crate) fn edit_routes(&self, text: &str) {
        self.replace("sni.yaml", text);
    }

    /// The same for any file of its folder.
    pub(crate) fn replace(&self, file: &str, text: &str) {
        let new = self.folder.join(format!(".{file}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(&new, self.folder.join(file)).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // The child is not reaped before `wait_exit` or `drop`: the pid is still its own.
        let pid = Pid::from_child(&self.child.lock().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process and of its log.
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                self.log.wait_end(deadline);
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "no exit in {PATIENCE:?}; log:\n{}",
                self.log.tail()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// CPU time so far, user and system, all threads; 10 ms grain.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // proc(5): the command, in parentheses, may hold anything; utime and stime are fields 14
        // and 15, in ticks of USER_HZ, which is 100 on every architecture of ours.
        let after_command = &stat[stat.rfind(')').unwrap() + 2..];
        let ticks = after_command
            .split(' ')
            .skip(11)
            .take(2)
            .map(|t| t.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }
}

impl Hub {
    /// After an upgrade other processes are the hub, or were: all whose command line names its folder.
    fn end_successors(&self) {
        let folder = self.folder.to_str().unwrap();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        for process in processes {
            let number = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let started_as = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let started_as = String::from_utf8_lossy(&started_as);
            let ours = started_as.contains(&format!("{folder}/"));
            if let Some(pid) = number.and_then(Pid::from_raw).filter(|_| ours) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.kill());
        drop(child.wait());
        self.end_successors();
        if thread::panicking() {
            eprintln!(
                "{}: the hub's last lines:\n{}",
                self.folder.display(),
                self.log.tail()
            );
        } else {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

/// In a container a hub is upgraded only below somebody who is known to go on after its end: as this
/// program does, in the container of a CI.
pub(crate) fn known_to_go_on() {
    fs::write("/proc/self/comm", "supervisord").unwrap();
}

/// A new empty directory below cargo's directory for tests.
pub(crate) fn new_folder(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{what}-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left by a process of the same pid, long ago.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The binary with RLIMIT_NOFILE set by the shell, which then becomes it: the pid stays.
pub(crate) fn limited(nofile: u32) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {nofile} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_snihub"));
    command
}

/// The binary as a service manager starts it, with its stdin as descriptor 3; the shell becomes it:
/// the pid stays. `listen_fds`: the value of LISTEN_FDS.
pub(crate) fn activated(listen_fds: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS={listen_fds} exec \"$0\" \"$@\""
    ));
    command.arg(env!("CARGO_BIN_EXE_snihub"));
    command
}

/// The binary in a mount namespace of its own; `unshare` and the shell become it: the pid stays.
fn with_hosts(hosts: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!(
        "mount --bind '{}' /etc/hosts && exec \"$0\" \"$@\"",
        hosts.display()
    ));
    command.arg(env!("CARGO_BIN_EXE_snihub"));
    command
}

fn listening_on(line: &Value) -> Option<SocketAddr> {
    line["message"]
        .as_str()?
        .strip_prefix("listening on ")?
        .parse()
        .ok()
}
