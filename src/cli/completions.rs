//! `corelog completions`: scripts that complete commands, for the usual shells.
//!
//! Key invariant: the script is made from the same definition that parses the arguments.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::Failure;

/// Arguments of `corelog completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: corelog completions bash > ~/.local/share/bash-completion/completions/corelog"
)]
pub struct Completions {
    /// The shell to make the script for.
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::CommandLine::command(), "corelog", &mut script);
        std::io::stdout().write_all(&script).map_err(Failure::output)
    }
}
