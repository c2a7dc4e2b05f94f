//! The terminal that `top` takes and gives back, and its going away.
//!
//! The ways of ratatui tell stderr what they could not do, and panic where that is the terminal
//! that is gone: within a panic's hook, or while another panic goes on, that aborts.

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use std::io;
use std::mem::ManuallyDrop;
use std::panic;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Takes the terminal, which a panic gives back before it tells. What is returned is not dropped:
/// see above.
pub(super) fn take() -> io::Result<ManuallyDrop<DefaultTerminal>> {
    let tells = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        give_back();
        tells(panicked);
    }));
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(io::stdout())).map(ManuallyDrop::new)
}

/// As far as it is there, and somebody reads it: of what is not given back it cannot be told.
pub(super) fn give_back() {
    drop(disable_raw_mode());
    // A write to a terminal that nobody reads does not return, and whoever is in one has stdout
    // for himself.
    let mut out = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
    if poll(&mut out, Some(&AT_ONCE)).is_ok_and(|ready| ready > 0) {
        drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
    }
}

/// Whether what is read from, or what is written to, is no terminal any more.
pub(super) fn is_gone() -> bool {
    gone_within(Some(&AT_ONCE))
}

/// Returns when it is. No signal need tell of it: SIGHUP goes to the session whose terminal it is,
/// and `runuser`, `su -c` and `setsid` run a program in another one.
pub(super) fn wait_until_gone() {
    while !gone_within(None) {}
}

fn gone_within(timeout: Option<&Timespec>) -> bool {
    // poll(2) tells POLLHUP and POLLERR without being asked: not of keys, nor of room.
    let mut both = [stdin(), stdout()].map(|end| PollFd::from_borrowed_fd(end, PollFlags::empty()));
    poll(&mut both, timeout).is_ok_and(|ready| ready > 0)
}
