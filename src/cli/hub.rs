//! What the commands that talk to a running hub have in common.

use super::Format;
use super::advice;
use super::exit::{Exit, answer, complain, document};
use crate::admin::client::{self, ClientError, Reply};
use crate::config;
use crate::terminal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Which hub, and how its answer is written.
#[derive(Debug, clap::Args)]
pub(super) struct Hub {
    /// The hub's admin socket [default: `admin` of hub.yaml, else /run/snihub/admin.sock]
    #[arg(long, value_name = "PATH")]
    admin: Option<PathBuf>,
    /// The hub.yaml of the running hub [default: /etc/snihub/hub.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Hub {
    /// Reads.
    pub(super) fn read(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, Exit> {
        self.ask("GET", path, parameters).map(|reply| reply.body)
    }

    /// Changes.
    pub(super) fn change(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Reply, Exit> {
        tell_of_interrupt();
        self.ask("POST", path, parameters)
    }

    /// As [`Hub::change`]; where nobody is there whom an upgrade reaches, [`Exit::Restart`].
    pub(super) fn change_or_restart(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Reply, Exit> {
        let Some(socket) = socket(self.admin.as_deref(), self.config.as_deref())? else {
            complain("snihub: hub.yaml says `admin: off`: the hub cannot be asked\n");
            return Err(Exit::Restart);
        };
        tell_of_interrupt();
        client::ask(&socket, "POST", path, parameters).map_err(|error| {
            complain(&format!("snihub: {}\n", printable(&error.to_string())));
            match error {
                ClientError::NotRunning(_) | ClientError::Old(_) => Exit::Restart,
                error => exit_of(&error),
            }
        })
    }

    /// How the answer is to be written.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The hub's admin socket.
    pub(super) fn socket(&self) -> Result<PathBuf, Exit> {
        let socket = socket(self.admin.as_deref(), self.config.as_deref())?;
        socket.ok_or_else(|| {
            complain("snihub: hub.yaml says `admin: off`: the hub cannot be asked\n");
            Exit::Config
        })
    }

    fn ask(&self, method: &str, path: &str, parameters: &[(&str, &str)]) -> Result<Reply, Exit> {
        let socket = self.socket()?;
        client::ask(&socket, method, path, parameters).map_err(|error| {
            complain(&format!("snihub: {}\n", printable(&error.to_string())));
            exit_of(&error)
        })
    }

    /// Prints an answer as it came, or as `text` has it; and before that to stderr whose part it lacks,
    /// which is [`Exit::System`].
    pub(super) fn print(
        &self,
        body: &Value,
        text: impl FnOnce(&Value) -> String,
        exit: Exit,
    ) -> Exit {
        let silent = client::silent(body);
        for one in &silent {
            complain(&format!(
                "snihub: {one}; what is told here is without it, and it will do nothing later\n"
            ));
        }
        let exit = match self.format {
            Format::Text => answer(&advice::aimed(&text(body)), exit),
            Format::Json => document(body.clone(), exit),
        };
        match silent.is_empty() {
            true => exit,
            false => Exit::System,
        }
    }

    /// Reads and prints.
    pub(super) fn show(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        text: impl FnOnce(&Value) -> String,
    ) -> Exit {
        match self.read(path, parameters) {
            Ok(body) => self.print(&body, text, Exit::Ok),
            Err(exit) => exit,
        }
    }
}

/// What a hub that was not asked, or declined, comes to.
pub(super) fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::NotPermitted(_) => Exit::Permission,
        ClientError::Refused(_) => Exit::No,
        ClientError::NotRunning(_)
        | ClientError::Old(_)
        | ClientError::Unable(_)
        | ClientError::Silent(_)
        | ClientError::Broken { .. } => Exit::System,
    }
}

/// From here on Ctrl-C says that it stops who asks, and not the hub. Where that cannot be had it ends the
/// process as ever.
fn tell_of_interrupt() {
    if is_ignored(SignalKind::interrupt()) {
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return;
    };
    let thread = std::thread::Builder::new().name("interrupt".into());
    let waiting = move || {
        let interrupted = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).ok()?;
            interrupt.recv().await
        });
        if interrupted.is_none() {
            return;
        }
        complain(
            "snihub: interrupted: what the hub has begun of this it goes on with; `snihub status` \
             shows how it is\n",
        );
        std::process::exit(Exit::Interrupted.code().into());
    };
    drop(thread.spawn(waiting));
}

/// Whether who started the command has the signal ignored: `trap '' INT`, or in the background of a
/// shell without job control. It stays so then (POSIX sh, 2.11). proc(5): SigIgn is a mask, in hexadecimal.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// The hub's admin socket: the one that is named, else that of hub.yaml; `None`: it is off there.
pub(super) fn socket(named: Option<&Path>, config: Option<&Path>) -> Result<Option<PathBuf>, Exit> {
    if let Some(named) = named {
        return Ok(Some(named.to_owned()));
    }
    config::admin_socket(config).map_err(|error| {
        let file = config.unwrap_or(Path::new(""));
        complain(&format!("snihub: {} {error}\n", file.display()));
        match error.is_denied() {
            true => Exit::Permission,
            false => Exit::Config,
        }
    })
}

/// A text of an answer; `-` where there is none.
pub(super) fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or("-"))
}

/// One line that moves no cursor. What a hub tells is escaped there already; a socket may be
/// anybody's.
pub(super) fn printable(text: &str) -> String {
    terminal::plain(text)
}

/// A number of an answer.
pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The rows of an answer.
pub(super) fn rows<'v>(body: &'v Value, key: &str) -> &'v [Value] {
    body[key].as_array().map_or(&[], Vec::as_slice)
}
