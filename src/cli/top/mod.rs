//! `snihub top`: the star in a terminal, live.

mod asking;
mod screen;
mod tables;
mod tty;
mod view;

use super::Format;
use super::exit::{Exit, complain, system};
use super::hub::Hub;
use asking::{Asking, News};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use screen::Screen;
use std::io::{self, IsTerminal};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

/// Shows who talks to whom, live: parties, pairs, tunnels, refusals; sorted and filtered by keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: 1 parties, 2 links, 3 tunnels, 4 refusals, Tab the next; s and S sort by
the next or previous column, r the other way round; / finds, Esc shows all
again; arrows, PgUp, PgDn, Home, End move; q or Ctrl-C ends. Rates are over some
6 s. `snihub status` and the like are for scripts.")]
pub(super) struct Args {
    /// Seconds between two readings, 1..=60
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    #[command(flatten)]
    hub: Hub,
}

/// After a signal, by itself; else it is ended.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether a key, a reading or a signal came.
const TICK: Duration = Duration::from_millis(100);

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    if args.hub.format() == Format::Json
        || !io::stdout().is_terminal()
        || !io::stdin().is_terminal()
    {
        complain(
            "snihub: top is for a terminal; for files and pipes there are status, routes --links, tunnels, refusals\n",
        );
        return Exit::Usage;
    }
    let socket = match args.hub.socket() {
        Ok(socket) => socket,
        Err(exit) => return exit,
    };
    // What is wrong from the beginning is told where it stays to be read.
    if let Err(exit) = args.hub.read("/api/status", &[]) {
        return exit;
    }
    let stop = match stop_at_signals() {
        Ok(stop) => stop,
        Err(error) => return system("cannot install signal handlers", &error),
    };
    let interval = Duration::from_secs(args.interval);
    let asking = match Asking::start(socket, interval) {
        Ok(asking) => asking,
        Err(error) => return system("cannot start a thread", &error),
    };
    if let Err(error) = end_with_the_terminal() {
        return system("cannot start a thread", &error);
    }
    let shown = tty::take().and_then(|mut terminal| {
        let screen = Screen::new(interval);
        show(&mut terminal, screen, &asking, &stop)
    });
    tty::give_back();
    match shown {
        Err(error) if !tty::is_gone() => system("the terminal", &error),
        _ => Exit::Ok,
    }
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut screen: Screen,
    asking: &Asking,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut changed = true;
    let mut overdue = None;
    while !stop.load(Relaxed) {
        while let Some(news) = asking.news() {
            match news {
                News::Reading(reading) => screen.take(&reading),
                News::Tunnels(listed) => screen.list(&listed),
                News::Silence(why) => screen.miss(why),
            }
            changed = true;
        }
        // The age of what is shown, as it grows.
        changed |= overdue != screen.overdue();
        overdue = screen.overdue();
        if changed {
            terminal.draw(|frame| view::draw(frame, &mut screen))?;
        }
        changed = event::poll(TICK)?;
        if changed {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release && screen.key(key) => {
                    return Ok(());
                }
                _ => {}
            }
            asking.with_tunnels(screen.wants_tunnels());
        }
    }
    Ok(())
}

/// Set by SIGTERM, SIGHUP and SIGINT: the default would leave the terminal raw.
fn stop_at_signals() -> io::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::<AtomicBool>::default();
    let told = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _inside = runtime.enter();
        [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
        ]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let [terminate, hangup, interrupt] = &mut signals[..] else {
                    return;
                };
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            told.store(true, Relaxed);
            // It may stand in a write that nobody reads.
            sleep(ENDS_WITHIN);
            end();
        })?;
    Ok(stop)
}

/// crossterm reads a terminal that is gone again and again, and looks at nothing else meanwhile.
fn end_with_the_terminal() -> io::Result<()> {
    let thread = std::thread::Builder::new().name("terminal".into());
    thread.spawn(|| {
        tty::wait_until_gone();
        end();
    })?;
    Ok(())
}

/// Whatever the thread that shows is at.
fn end() -> ! {
    tty::give_back();
    process::exit(Exit::Ok.code().into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// What [`a_panic_gives_the_terminal_back`] runs in a terminal.
    #[test]
    #[ignore = "panics, in a terminal that is made for it"]
    fn panicking() {
        let mut terminal = super::tty::take().unwrap();
        terminal
            .draw(|_| panic!("in the middle of a frame"))
            .unwrap();
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let this = std::env::current_exe().unwrap();
        let run = format!(
            "{} --ignored --exact cli::top::tests::panicking --nocapture; stty -a",
            this.display()
        );
        // util-linux's script(1) makes a terminal.
        let output = Command::new("script")
            .args(["-q", "-e", "-c", &run, "/dev/null"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let entered = text
            .find("\u{1b}[?1049h")
            .unwrap_or_else(|| panic!("{text}"));
        let left = text
            .find("\u{1b}[?1049l")
            .unwrap_or_else(|| panic!("{text}"));
        let told = text.find("in the middle of a frame").unwrap();
        assert!(entered < left && left < told, "{text}");
        let settings: Vec<&str> = text[told..].split_whitespace().collect();
        for mode in ["icanon", "echo", "isig"] {
            assert!(settings.contains(&mode), "{mode} in {settings:?}");
        }
    }
}
