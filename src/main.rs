//! The one binary: parses the command line and calls one function per subcommand.

use std::process::ExitCode;

use clap::Parser as _;
use leadtrail::store::engine;

#[derive(clap::Parser)]
#[command(name = "leadtrail")]
enum Command {
    /// The embedded engine's own process. It has to stay the first thing that runs: before any thread.
    #[command(hide = true)]
    ClickhouseEngine(engine::ChildArguments),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::ClickhouseEngine(arguments) => engine::child_main(&arguments),
    }
}
