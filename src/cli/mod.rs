//! The command line: one file per subcommand. It parses arguments, calls the rooms, prints, and picks the exit code.
//!
//! Key invariant: what a command answers goes to standard output, everything else to standard error, so that output can
//! be piped. Every failure says what to do and has its exit code in `failure`. What commands do is left to their files.

mod client;
mod completions;
mod connect;
mod consume;
mod doctor;
mod failure;
mod group;
mod output;
mod produce;
mod serve;
mod topic;
mod tune;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A broker that speaks Apache Kafka's protocol, and the tools to use it and any other Kafka broker.
#[derive(Debug, Parser)]
#[command(name = "corelog", version, max_term_width = 110, after_help = failure::EXIT_CODES)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker.
    Serve(serve::Serve),
    /// Check whether this machine can run a broker, and say how to mend what stands in the way.
    Doctor(doctor::Doctor),
    /// Compare this host with a profile, set it, take that back; measure the data device.
    Tune(tune::Tune),
    /// Create, list, describe, alter and delete topics.
    Topic(topic::Topic),
    /// List, describe, move and delete consumer groups and share groups.
    Group(group::Group),
    /// Write records to a topic, from standard input or a file: one record per line.
    Produce(produce::Produce),
    /// Read records of a topic; follows it until Ctrl-C.
    Consume(consume::Consume),
    /// Print a script that completes commands in a shell.
    Completions(completions::Completions),
}

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match CommandLine::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match parsed.command {
        Command::Serve(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Tune(command) => command.run(),
        Command::Topic(command) => command.run(),
        Command::Group(command) => command.run(),
        Command::Produce(command) => command.run(),
        Command::Consume(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        CommandLine::command().debug_assert();
    }
}
