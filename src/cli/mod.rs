//! The command line: one file per subcommand. It parses arguments, calls the rooms, prints, and picks the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::config::{BrokerSettings, Flags, Sources};

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().filter_map(|a| a.into_string().ok()).collect();
    let flag =
        |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let set: Vec<(String, String)> = arguments
        .iter()
        .zip(arguments.iter().skip(1))
        .filter(|(a, _)| *a == "--set")
        .filter_map(|(_, b)| b.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())))
        .collect();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let flags = Flags {
        data_dir: flag("--data-dir"),
        listen: flag("--listen"),
        advertise: flag("--advertise"),
        admin: flag("--admin"),
        shards: flag("--shards"),
    };
    let settings = match BrokerSettings::load(&Sources { flags, set: &set, ..Sources::default() }) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match crate::broker::serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
