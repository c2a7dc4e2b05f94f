//! The `snihub` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    snihub::cli::main()
}
