//! `snihub pki show`.

use super::Stop;
use crate::cli::exit::{self, Exit};
use crate::pki::{MOST_SHOWN_BYTES, describe};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Says what a certificate, a bundle, a request, a revocation list or a key file is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// PEM or DER; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let mut bytes = Vec::new();
    // One byte more tells what is too long.
    let most = MOST_SHOWN_BYTES as u64 + 1;
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(&args.file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Stop::unread(&args.file, &error))?;
    let text = describe(&bytes)
        .map_err(|why| Stop::Said(Exit::Config, format!("{}: {why}", args.file.display())))?;
    Ok(exit::answer(&text, Exit::Ok))
}
