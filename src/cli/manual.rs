//! `snihub completions` and `snihub man`: what packages ship beside the binary, made from the same
//! declarations as `--help`.

use super::Cli;
use super::exit::{self, Exit, answer};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::{Path, PathBuf};
use std::{fs, io};

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
    let mut command = Cli::command().disable_help_subcommand(true);
    // The pages below have their whole name of it.
    command.build();
    let Some(folder) = &args.folder else {
        return match page(&Man::new(command)) {
            Ok(page) => answer(&page, Exit::Ok),
            Err(error) => exit::system("cannot make the page", &error),
        };
    };
    match fs::create_dir_all(folder).and_then(|()| write(command, folder)) {
        Ok(()) => Exit::Ok,
        Err(error) => exit::system(&format!("cannot write into {}", folder.display()), &error),
    }
}

/// Its page, and those of the commands below it.
fn write(command: Command, folder: &Path) -> io::Result<()> {
    let below = command.get_subcommands().filter(|one| !one.is_hide_set());
    for one in below.cloned() {
        write(one, folder)?;
    }
    let man = Man::new(command);
    fs::write(folder.join(man.get_filename()), page(&man)?)
}

fn page(man: &Man) -> io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(unfilled(&String::from_utf8_lossy(&page)))
}

/// Lines that are indented stay lines (groff_man(7), .nf): clap_mangen has examples filled as prose.
fn unfilled(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut within = false;
    for line in page.lines() {
        let indented = line.starts_with("  ");
        if indented != within {
            out.push_str(if indented { ".nf\n" } else { ".fi\n" });
            within = indented;
        }
        out.push_str(line);
        out.push('\n');
    }
    if within {
        out.push_str(".fi\n");
    }
    out
}
