//! What memory the hub takes: at rest, and for each of 5,000 idle tunnels. The real binary, PSS as
//! the kernel counts it (proc_pid_smaps(5)).

#[path = "support/hub.rs"]
mod hub;

use hub::listening_on;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, io, thread};

const TUNNELS: usize = 5_000;
/// A real client's hello for 9999.fate.org.
const HELLO: &[u8] = include_bytes!("../tests/data/conformance/captures/java-17-jsse.bin");

fn main() -> io::Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let folder = env::temp_dir().join(format!("snihub-idle-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let routes = folder.join("sni.yaml");
    let target = upstream.local_addr()?;
    fs::write(
        &routes,
        format!("sni:\n- fqdn: 9999.fate.org\n  tunnel_route: {target}\n"),
    )?;
    // All clients come from one address, faster than a hub that is being set up answers.
    let settings = folder.join("hub.yaml");
    fs::write(
        &settings,
        "admin: off\nlimits: {pending_hellos_per_source: 4096}\n",
    )?;
    let mut hub = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(&settings)
        .arg("--routes")
        .arg(&routes)
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = measure(&mut hub, &upstream);
    hub.kill()?;
    hub.wait()?;
    fs::remove_dir_all(folder)?;
    measured
}

fn measure(hub: &mut Child, upstream: &TcpListener) -> io::Result<()> {
    let address = listening_on(hub)?;
    let upstream = upstream.try_clone()?;
    let (tell, accepted) = mpsc::channel();
    thread::spawn(move || {
        for stream in upstream.incoming().map_while(Result::ok) {
            if tell.send(stream).is_err() {
                return;
            }
        }
    });
    thread::sleep(Duration::from_secs(1));
    let rest = pss(hub)?;
    let mut held = Vec::new();
    for _ in 0..TUNNELS {
        let mut client = TcpStream::connect(address)?;
        client.write_all(HELLO)?;
        // One after the other: nothing but the tunnels is left of it.
        let opened = accepted.recv_timeout(Duration::from_secs(10));
        held.push((client, opened.map_err(io::Error::other)?));
    }
    thread::sleep(Duration::from_secs(1));
    let full = pss(hub)?;
    println!("at rest {:.1} MiB", rest as f64 / 1024.0);
    println!(
        "{TUNNELS} idle tunnels: {:.2} KiB each",
        (full - rest) as f64 / TUNNELS as f64
    );
    Ok(())
}

/// In KiB.
fn pss(hub: &Child) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", hub.id()))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
