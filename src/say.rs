//! What a command answers. In: a text. Out: a line on standard output. Refuses nothing: who stopped reading (`| head`) has what it wanted,
//! so a closed pipe is no error.

use std::io::Write as _;

/// One line, or several.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
