//! `snihub completions` and `snihub man`: what packages ship beside the binary, made from the same
//! declarations as `--help`.

use super::Cli;
use super::exit::{self, Exit, answer};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

/// Prints a shell's completions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub completions bash > /usr/share/bash-completion/completions/snihub
  snihub completions zsh > /usr/share/zsh/vendor-completions/_snihub
  snihub completions fish > ~/.config/fish/completions/snihub.fish")]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Prints the manual page snihub(1), or writes the pages of all commands.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write snihub.1, snihub-run.1 and so on into this folder
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Runs `completions`.
pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    let mut command = shown(&Cli::command());
    clap_complete::generate(args.shell, &mut command, "snihub", &mut script);
    answer(&String::from_utf8_lossy(&script), Exit::Ok)
}

/// The command as `--help` has it: clap_complete offers what is hidden, too. As much of it as completions
/// are made of.
fn shown(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|one| !one.is_hide_set());
    let below = command.get_subcommands().filter(|one| !one.is_hide_set());
    let mut shown = Command::new(command.get_name().to_owned())
        .args(arguments)
        .subcommands(below.map(self::shown));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}

/// Runs `man`.
pub(super) fn man(args: &ManArgs) -> Exit {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        // As `generate_to` does.
        let command = Cli::command().disable_help_subcommand(true);
        return match clap_mangen::Man::new(command).render(&mut page) {
            Ok(()) => answer(&String::from_utf8_lossy(&page), Exit::Ok),
            Err(error) => exit::system("cannot make the page", &error),
        };
    };
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    match written {
        Ok(()) => Exit::Ok,
        Err(error) => exit::system(&format!("cannot write into {}", folder.display()), &error),
    }
}
