//! The `corelog` binary: hands its arguments to `corelog::cli` and exits with the code that it returns.

fn main() -> std::process::ExitCode {
    corelog::cli::run(std::env::args_os())
}
