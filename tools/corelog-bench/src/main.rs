//! The `corelog-bench` binary: hands its arguments to the library and exits with the code that it returns.

fn main() -> std::process::ExitCode {
    corelog_bench::cli::run(std::env::args_os())
}
