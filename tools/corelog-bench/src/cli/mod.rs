//! The command line of the load generator: one file per subcommand.
//!
//! Key invariant: what can go wrong is told in one sentence on the error output, with an exit code of its own (see `exit`);
//! results go to the output. Measuring is left to `drive`, presenting to `report`.

mod ceiling;
mod compare;
mod exit;
mod files;
mod find_max;
mod idle;
mod load;
mod merge;
mod options;
mod record;
mod session;
mod side_by_side;
mod workloads;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Failure;

/// Drives any broker that speaks Kafka's protocol, and measures it honestly.
#[derive(Debug, Parser)]
#[command(name = "corelog-bench", version, about, after_help = exit::HELP, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send records and measure how long their acknowledgements take
    Produce(options::LoadOptions),
    /// Read records: what arrives from now on, or everything that is there (--start beginning)
    Consume(options::LoadOptions),
    /// Send records and measure how long they take from when they were due until a reader has them
    EndToEnd(options::LoadOptions),
    /// Send and read at once, each as fast or at the rate it is told
    Mixed(options::LoadOptions),
    /// Open connections that do nothing, and tell what they cost the broker
    Idle(idle::IdleOptions),
    /// Run a server that answers at once and stores nothing: what this client and host can measure at most
    Ceiling(ceiling::CeilingOptions),
    /// Compare the files of several runs: a table, and a page for a browser
    Compare(compare::CompareOptions),
    /// The table of `make peers`: many scenarios, Kafka against Corelog, and which bars are met
    SideBySide(side_by_side::SideBySideOptions),
    /// Merge the files of runs that several hosts made at the same time
    Merge(merge::MergeOptions),
    /// List the named workloads, or show one
    Workloads(workloads::WorkloadsOptions),
}

/// Parses the arguments and does what they say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let words = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let result = match parsed.command {
        Command::Produce(options) => load::run(crate::workload::Kind::Produce, options, words),
        Command::Consume(options) => load::run(crate::workload::Kind::Consume, options, words),
        Command::EndToEnd(options) => load::run(crate::workload::Kind::EndToEnd, options, words),
        Command::Mixed(options) => load::run(crate::workload::Kind::Mixed, options, words),
        Command::Idle(options) => idle::run(options),
        Command::Ceiling(options) => ceiling::run(options),
        Command::Compare(options) => compare::run(options),
        Command::SideBySide(options) => side_by_side::run(options),
        Command::Merge(options) => merge::run(options),
        Command::Workloads(options) => workloads::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("corelog-bench: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Prints results; a full disk behind the output is a failure like any other.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", text.trim_end())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::File { path: "standard output".into(), reason: error.to_string() })
}
