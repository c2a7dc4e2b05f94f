//! `snihub top` in a terminal of its own: what stands on the screen, what keys do, and that the
//! terminal is as it was whatever ends it.

use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::party::{Link, Party};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// The program and its terminal, of 80 by 24.
struct Terminal {
    child: Child,
    keys: File,
    /// Its other end: what the settings are asked of.
    inside: File,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(socket: &Path, arguments: &[&str]) -> Terminal {
        let (keys, inside) = ends();
        let before = tcgetattr(&inside).unwrap();
        let child = top("--ctty", socket, arguments, [&inside, &inside]);
        let mut out = keys.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let raw = Arc::<Mutex<Vec<u8>>>::default();
        let (drawn, kept) = (Arc::clone(&screen), Arc::clone(&raw));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut piece) {
                drawn.lock().unwrap().process(&piece[..n]);
                kept.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        });
        Terminal {
            child,
            keys,
            inside,
            before,
            screen,
            raw,
        }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Until all of these stand on the screen.
    fn shows(&self, wanted: &[&str]) -> String {
        self.until(&format!("{wanted:?}"), |screen| {
            wanted.iter().all(|text| screen.contains(text))
        })
    }

    fn until(&self, what: &str, mut right: impl FnMut(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if right(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} is not on\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its exit code, the terminal being as it was before.
    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still there:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(20));
        };
        let now = tcgetattr(&self.inside).unwrap();
        assert_eq!(now.local_modes, self.before.local_modes);
        assert_eq!(now.input_modes, self.before.input_modes);
        assert!(
            now.local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO)
        );
        status.code()
    }

    /// Whether the screen from before the program, and the cursor, came back.
    fn gave_back(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        let screen = screen.screen();
        !screen.alternate_screen() && !screen.hide_cursor()
    }
}

/// Of a terminal: where somebody sits, and where a program runs.
fn ends() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let size = Winsize {
        ws_row: ROWS.get(),
        ws_col: COLUMNS.get(),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let inside = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (master.into(), inside)
}

/// What setsid(1) does besides: this, of which a session that is not the terminal's hears no SIGHUP.
const OF_NO_TERMINAL: &str = "--wait";

/// The program, in a session of its own: /dev/tty is this terminal, or none, not the one the tests
/// run in. It reads from and writes to these.
fn top(session: &str, socket: &Path, arguments: &[&str], inside: [&File; 2]) -> Child {
    let [stdin, stdout] = inside.map(|end| end.try_clone().unwrap());
    Command::new("setsid")
        .args([session, env!("CARGO_BIN_EXE_snihub"), "top"])
        .args(["--interval", "1", "--admin"])
        .arg(socket)
        .args(arguments)
        .env("TERM", "xterm-256color")
        .stdin(stdin)
        .stderr(stdout.try_clone().unwrap())
        .stdout(stdout)
        .spawn()
        .unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn hub(names: &[&str], party: Party) -> Hub {
    let entries: Vec<String> = names.iter().map(|name| party.entry(name)).collect();
    Hub::start(Options::routes(format!("sni:\n{}", entries.concat())).with_admin())
}

/// Places of these texts on the screen, from the top.
fn order(screen: &str, texts: &[&str]) -> Vec<usize> {
    let place = |text: &&str| {
        screen
            .find(text)
            .unwrap_or_else(|| panic!("{text}:\n{screen}"))
    };
    texts.iter().map(place).collect()
}

#[test]
fn the_star_is_seen_sorted_and_found_in_80_by_24() {
    let party = Party::start(b'a');
    let names = ["a.example", "b.example", "c.example"];
    let hub = hub(&names, party);
    let _links: Vec<Link> = ["b.example", "b.example", "c.example"]
        .iter()
        .map(|name| Link::open(hub.addr(), name, party).unwrap())
        .collect();
    assert!(Link::open(hub.addr(), "unknown.example", party).is_err());
    hub.closed("unknown.example");
    let mut top = Terminal::start(&hub.folder().join("admin.sock"), &[]);
    let screen = top.shows(&["ready, up", "3 tunnels", "1 refused", "a.example", "q quit"]);
    assert!(screen.lines().count() <= usize::from(ROWS.get()));
    for head in [
        "party", "state", "tunnels", "sends", "gets", "refused", "failed",
    ] {
        assert!(screen.lines().nth(2).unwrap().contains(head), "{screen}");
    }
    // By what is sent, of which there is none: then by name. By tunnels: three keys back.
    top.press("S");
    let by_tunnels = |screen: &str| {
        let places = order(screen, &["b.example", "c.example", "a.example"]);
        screen.contains("tunnels\u{25be}") && places.is_sorted()
    };
    top.until("by tunnels", by_tunnels);
    top.press("r");
    top.shows(&["tunnels\u{25b4}"]);
    top.press("/C.EX\r");
    // Keys come one by one, and each is shown.
    let screen = top.shows(&["1 of 4 with \"c.ex\"", "c.example"]);
    assert!(!screen.contains("a.example"), "{screen}");
    top.press("\u{1b}");
    top.shows(&["a.example"]);
    top.press("2");
    top.shows(&["(not known)", "there", "back"]);
    top.press("3");
    let screen = top.shows(&["age", "idle", "b.example", "127.0.0.1:"]);
    assert_eq!(screen.matches(".example").count(), 3, "{screen}");
    top.press("\t");
    top.shows(&["asked for", "unknown.example", "no route for"]);
    top.press("q");
    assert_eq!(top.ended(), Some(0));
    top.until("the screen before", |_| top.gave_back());
}

/// Nothing comes for so long, in which every key is read, and every one that is read is shown.
const STILL: Duration = Duration::from_millis(300);

/// Whether that is so within this time.
fn is_ready(end: &File, what: PollFlags, within: Duration) -> bool {
    let within = Timespec::try_from(within).unwrap();
    let mut asked = [PollFd::from_borrowed_fd(end.as_fd(), what)];
    poll(&mut asked, Some(&within)).unwrap() > 0
}

/// Reads until this is shown, and the program waits for keys.
fn read_until_still(outside: &mut File, wanted: &str) {
    let mut screen = vt100::Parser::new(ROWS, COLUMNS, 0);
    while !screen.screen().contents().contains(wanted) || is_ready(outside, PollFlags::IN, STILL) {
        let mut piece = [0; 4096];
        let read = outside.read(&mut piece).unwrap();
        screen.process(&piece[..read]);
    }
}

/// Has it draw until there is no room, and it reads no key any more: it stands in a write.
fn press_until_full(outside: &mut File, inside: &File) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "who reads it?");
        outside.write_all(b"r").unwrap();
        if is_ready(inside, PollFlags::OUT, Duration::ZERO) {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        std::thread::sleep(STILL);
        if is_ready(inside, PollFlags::IN, Duration::ZERO) {
            return;
        }
    }
}

/// State of the process, and what it has had of a core.
fn stat(pid: u32) -> (char, Duration) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let millis = ticks * 1000 / rustix::param::clock_ticks_per_second();
    let state = fields[0].chars().next().unwrap();
    (state, Duration::from_millis(millis))
}

/// Its exit code, and what it has of a core from now until then.
fn end_of(mut top: Child) -> (Option<i32>, Duration) {
    let (_, before) = stat(top.id());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (state, now) = stat(top.id());
        if state == 'Z' {
            return (top.wait().unwrap().code(), now - before);
        }
        if Instant::now() > deadline {
            drop(top.kill());
            drop(top.wait());
            panic!("it goes on, and had {:?} of a core", now - before);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_ends_with_its_terminal_whether_a_signal_tells_or_not() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example"], party);
    for session in ["--ctty", OF_NO_TERMINAL] {
        let (mut outside, inside) = ends();
        let socket = hub.folder().join("admin.sock");
        let top = top(session, &socket, &[], [&inside, &inside]);
        read_until_still(&mut outside, "a.example");
        // Whoever sat there has gone.
        drop(outside);
        let (code, had) = end_of(top);
        assert_eq!(code, Some(0), "{session}");
        assert!(had < Duration::from_millis(500), "{session}: {had:?}");
    }
}

#[test]
fn it_ends_with_its_terminal_in_the_middle_of_a_draw() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example", "b.example"], party);
    for session in ["--ctty", OF_NO_TERMINAL] {
        let (mut outside, inside) = ends();
        let socket = hub.folder().join("admin.sock");
        let top = top(session, &socket, &[], [&inside, &inside]);
        read_until_still(&mut outside, "a.example");
        press_until_full(&mut outside, &inside);
        drop(outside);
        assert_eq!(end_of(top).0, Some(0), "{session}");
    }
}

#[test]
fn it_gives_back_what_it_writes_to_when_what_it_reads_from_goes() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example"], party);
    let ((keys, stdin), (mut outside, stdout)) = (ends(), ends());
    let socket = hub.folder().join("admin.sock");
    let top = top(OF_NO_TERMINAL, &socket, &[], [&stdin, &stdout]);
    read_until_still(&mut outside, "a.example");
    drop(keys);
    assert_eq!(end_of(top).0, Some(0));
    let mut said = [0; 4096];
    let read = outside.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..read]).into_owned();
    assert!(said.ends_with("\u{1b}[?1049l\u{1b}[?25h"), "{said:?}");
}

#[test]
fn a_signal_ends_it_in_a_terminal_that_nobody_reads() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example", "b.example"], party);
    let (mut outside, inside) = ends();
    let before = tcgetattr(&inside).unwrap();
    let socket = hub.folder().join("admin.sock");
    let top = top("--ctty", &socket, &[], [&inside, &inside]);
    read_until_still(&mut outside, "a.example");
    press_until_full(&mut outside, &inside);
    let pid = rustix::process::Pid::from_child(&top);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(end_of(top).0, Some(0));
    let now = tcgetattr(&inside).unwrap();
    assert_eq!(now.local_modes, before.local_modes);
}

#[test]
fn ctrl_c_and_signals_give_the_terminal_back() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example"], party);
    let socket = hub.folder().join("admin.sock");
    let mut top = Terminal::start(&socket, &[]);
    top.shows(&["a.example"]);
    assert!(
        !tcgetattr(&top.inside)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON)
    );
    assert!(!top.gave_back());
    top.press("\u{3}");
    assert_eq!(top.ended(), Some(0));
    top.until("the screen before", |_| top.gave_back());
    let mut top = Terminal::start(&socket, &[]);
    top.shows(&["a.example"]);
    let parent = format!("--parent={}", top.child.id());
    let pid = Command::new("pgrep")
        .args([&parent])
        .output()
        .unwrap()
        .stdout;
    let pid = String::from_utf8(pid).unwrap().trim().to_owned();
    // setsid forks only where it leads a group already: else it is the program itself.
    let pid = if pid.is_empty() {
        top.child.id().to_string()
    } else {
        pid
    };
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(top.ended(), Some(0));
    top.until("the screen before", |_| top.gave_back());
}

#[test]
fn a_hub_that_goes_away_is_said_and_one_that_is_not_there_ends_it() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example"], party);
    let socket = hub.folder().join("admin.sock");
    let mut top = Terminal::start(&socket, &[]);
    top.shows(&["a.example"]);
    hub.signal(rustix::process::Signal::KILL);
    top.shows(&["no hub runs behind", "a.example"]);
    top.press("q");
    assert_eq!(top.ended(), Some(0));
    let mut top = Terminal::start(Path::new("/no/such.sock"), &[]);
    assert_eq!(top.ended(), Some(71));
    top.shows(&["no hub runs behind /no/such.sock"]);
    let raw = top.raw.lock().unwrap().clone();
    assert!(!raw.contains(&0x1b), "no screen was begun");
}

#[test]
fn a_hub_that_stands_still_is_seen_by_the_age_of_what_is_shown() {
    let party = Party::start(b'a');
    let hub = hub(&["a.example"], party);
    let socket = hub.folder().join("admin.sock");
    let mut top = Terminal::start(&socket, &[]);
    top.shows(&["ready", "a.example"]);
    hub.signal(rustix::process::Signal::STOP);
    top.shows(&["s old: the hub does not answer", "a.example"]);
    hub.signal(rustix::process::Signal::CONT);
    let screen = top.shows(&["ready, up", "a.example"]);
    assert!(!screen.contains(" old"), "{screen}");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}

#[test]
fn a_process_before_that_is_stopped_is_told_and_not_taken_for_the_hub() {
    let party = Party::start(b'a');
    let options = Options::routes(format!("sni:\n{}", party.entry("a.example")));
    let hub = Hub::start(options.settings("upgrade_drain: 1d").with_admin());
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    let socket = hub.folder().join("admin.sock");
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_snihub"));
    upgrade.args(["upgrade", "--admin"]).arg(&socket);
    assert!(upgrade.output().unwrap().status.success());
    hub.signal(rustix::process::Signal::STOP);
    let mut top = Terminal::start(&socket, &[]);
    top.shows(&["ready, up", "a.example"]);
    top.press("3");
    let told = format!("process {}, with 1 tunnel, does not answer", hub.pid());
    let mut since = None;
    top.until(&told, |screen| {
        assert!(!screen.contains(" old"), "{screen}");
        if screen.contains(&told) {
            since.get_or_insert_with(Instant::now);
        }
        // For as long as two lists take.
        since.is_some_and(|since| since.elapsed() > Duration::from_secs(9))
    });
    hub.signal(rustix::process::Signal::CONT);
    let screen = top.shows(&["ready, up", "0000000"]);
    assert!(!screen.contains("does not answer"), "{screen}");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_else_there_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .arg("top")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("top is for a terminal"), "{said}");
}
