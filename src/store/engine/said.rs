//! What the engine's process says on standard error.
//!
//! In: its standard error. Out: its last lines while it starts, for the report of a failed start; afterwards one log
//! line for each error with its place and code. Refuses: to keep more than [`LINES_MAX`] lines, or to log a text once
//! queries may run: an engine's error quotes the value that it could not read, and that may be an email address.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

const LINES_MAX: usize = 20;
const LINE_BYTES_MAX: usize = 600;

/// The end of what one process said while it started.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    lines: Arc<Mutex<VecDeque<String>>>,
    ready: Arc<AtomicBool>,
}

impl Said {
    /// From now on queries run, and no text is kept or logged.
    pub(super) fn became_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The lines on one line.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "nothing".to_owned();
        }
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Reads until the process ends.
    pub(super) async fn listen(self, output: impl AsyncRead + Unpin) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while let Ok(piece) = output.fill_buf().await {
            if piece.is_empty() {
                break;
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let text = &piece[..end.unwrap_or(piece.len())];
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            let used = end.map_or(piece.len(), |end| end + 1);
            output.consume(used);
            if end.is_some() {
                self.hear(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        self.hear(&String::from_utf8_lossy(&line));
    }

    fn hear(&self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if self.ready.load(Ordering::Relaxed) {
            match place_and_code(line) {
                // The one who asked was told.
                Some((component @ ("executeQuery" | "DynamicQueryHandler"), code)) => {
                    tracing::debug!(component, code, "the clickhouse engine refused a query");
                }
                Some((component, code)) => {
                    tracing::warn!(component, code, "the clickhouse engine reports an error");
                }
                None => {}
            }
            return;
        }
        if is_stack_line(line) {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// `17. ? @ 0x000000001354c57b`: of use to nobody without the library's symbols.
fn is_stack_line(line: &str) -> bool {
    line.split_once(". ").is_some_and(|(number, rest)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && rest.contains(" @ 0x")
    })
}

/// From `… <Error> MergeTreeBackgroundExecutor: Code: 243. DB::Exception: …` the component and the code, and nothing
/// else. Both are checked to be a name and a number, so that no value can pass for one.
fn place_and_code(line: &str) -> Option<(&str, u32)> {
    let (_, rest) = line.split_once("<Error> ").or_else(|| line.split_once("<Fatal> "))?;
    let (component, rest) = rest.split_once(": ")?;
    // A component may carry a table's name in brackets behind its own: `MergeTask::Stage (leadtrail.leads)`.
    let component = component.split([' ', '(']).next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b':' || byte == b'_';
    if component.is_empty() || component.len() > 60 || !component.bytes().all(plain) {
        return None;
    }
    let digits = rest.strip_prefix("Code: ")?;
    let end = digits.find(|character: char| !character.is_ascii_digit())?;
    Some((component, digits[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_named_by_place_and_code_only() {
        let line = "2026.11.22 01:02:03.000004 [ 77 ] {} <Error> MergeTreeBackgroundExecutor: Code: 243. DB::Exception: no space";
        assert_eq!(place_and_code(line), Some(("MergeTreeBackgroundExecutor", 243)));
        for line in [
            "<Error> jane@example.com: Code: 1. x",
            "<Error> executeQuery: Cannot parse 'jane@example.com'",
            "jane@example.com",
        ] {
            assert_eq!(place_and_code(line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_until_the_engine_is_ready() {
        let said = Said::default();
        let text = format!("{}\n{}\nlast", "first", "x".repeat(5000));
        said.clone().listen(text.as_bytes()).await;
        assert!(said.text().starts_with("first | xxx") && said.text().ends_with("x | last"));
        assert!(said.text().len() < 700);
        let stack = "17. ? @ 0x000000001354c57b\nCode: 17. Why @ 0x0\n";
        let other = Said::default();
        other.clone().listen(stack.as_bytes()).await;
        assert_eq!(other.text(), "Code: 17. Why @ 0x0");
        let many = "line\n".repeat(100);
        said.clone().listen(many.as_bytes()).await;
        assert_eq!(said.text().matches("line").count(), LINES_MAX);
        said.became_ready();
        said.clone().listen("jane@example.com\n".as_bytes()).await;
        assert_eq!(said.text(), "nothing");
    }
}
