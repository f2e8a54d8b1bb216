//! The one binary: parses the command line and calls one function per subcommand.
fn main() {}
