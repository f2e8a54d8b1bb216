//! `leadtrail sql`: SQL as the analyst, over HTTP.
//!
//! In: a statement as argument, or statements on standard input, each ended by `;`. Out: results as they arrive, a table on a
//! terminal and tab-separated values elsewhere. Refuses: nothing itself; what the analyst may not do, ClickHouse refuses.
//! Promises: a failed statement is told on standard error and the next one is run; the exit code says whether any failed.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clickhouse::Client;

/// The longest statement: what ClickHouse itself takes (`max_query_size`).
const STATEMENT_BYTES_MAX: usize = 256 * 1024;

/// Statements that wait between the reader of standard input and the sender: none is read ahead.
const STATEMENTS_WAITING: usize = 1;

/// What `leadtrail sql` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(
    about = "Ask the warehouse in SQL, as the read-only analyst",
    before_help = "Examples:\n  leadtrail sql \"SELECT event_type, count() FROM events GROUP BY ALL\"\n  leadtrail sql < questions.sql"
)]
pub struct SqlArguments {
    /// One statement; without it they are read from standard input, each ended by `;`
    #[arg(value_name = "QUERY")]
    pub query: Option<String>,
    /// Format of the results, as ClickHouse names it; PrettyCompact on a terminal, else TSVWithNames
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Runs the statements; exit code 0, or 1 when one failed. `client` is the analyst's, on the warehouse's database.
pub async fn run(arguments: &SqlArguments, client: &Client) -> ExitCode {
    let terminal = io::stdout().is_terminal();
    let default = if terminal { "PrettyCompact" } else { "TSVWithNames" };
    let format = arguments.format.as_deref().unwrap_or(default);
    match &arguments.query {
        Some(query) => ExitCode::from(u8::from(!tell(one(client, query, format).await))),
        None => from_input(client, format).await,
    }
}

/// Reads statements on a thread of its own: a terminal's read can't be waited for on the runtime.
async fn from_input(client: &Client, format: &str) -> ExitCode {
    let (sender, mut statements) =
        tokio::sync::mpsc::channel::<io::Result<String>>(STATEMENTS_WAITING);
    let (ready, prompts) = std::sync::mpsc::sync_channel::<()>(1);
    let prompt = io::stdin().is_terminal() && io::stderr().is_terminal();
    std::thread::spawn(move || {
        let mut statements = Statements::new(io::stdin().lock());
        loop {
            if prompts.recv().is_err() {
                return;
            }
            let next = statements.next(|fresh| {
                if prompt {
                    let _ = write!(
                        io::stderr(),
                        "{}",
                        if fresh { "leadtrail> " } else { "        -> " }
                    );
                }
            });
            let Some(next) = next.transpose() else { return };
            let failed = next.is_err();
            if sender.blocking_send(next).is_err() || failed {
                return;
            }
        }
    });
    let mut all_good = true;
    while ready.send(()).is_ok() {
        match statements.recv().await {
            None => break,
            Some(Ok(statement)) => all_good &= tell(one(client, &statement, format).await),
            Some(Err(error)) => {
                all_good = tell(Err(format!("cannot read standard input: {error}")));
                break;
            }
        }
    }
    ExitCode::from(u8::from(!all_good))
}

/// Prints an error; true when there is none.
fn tell(result: Result<(), String>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            eprintln!("leadtrail: {error}");
            false
        }
    }
}

async fn one(client: &Client, statement: &str, format: &str) -> Result<(), String> {
    query(client, statement, format, &mut io::stdout().lock()).await
}

/// Runs one statement and writes its result as it arrives. The error is in words for people.
pub async fn query(
    client: &Client,
    statement: &str,
    format: &str,
    output: &mut impl Write,
) -> Result<(), String> {
    // Raw: a question mark is SQL here, not a place for a value.
    let query = client.query_raw(without_end(statement));
    let mut bytes = query.fetch_bytes(format).map_err(|error| words(&error))?;
    while let Some(chunk) = bytes.next().await.map_err(|error| words(&error))? {
        match output.write_all(&chunk) {
            Ok(()) => {}
            // The reader has seen enough (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("cannot write the result: {error}")),
        }
    }
    output.flush().or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(format!("cannot write the result: {error}")),
    })
}

/// The statement without the `;` that ends it: over HTTP there is one statement a request.
fn without_end(statement: &str) -> &str {
    statement.trim().trim_end_matches(';').trim_end()
}

fn words(error: &clickhouse::error::Error) -> String {
    match error {
        clickhouse::error::Error::BadResponse(text) => text.trim().to_owned(),
        clickhouse::error::Error::Network(_) => {
            format!("cannot reach ClickHouse: {error}; start it with `leadtrail up`")
        }
        error => error.to_string(),
    }
}

/// Splits text into statements at `;`, but not within quotes and comments.
struct Statements<Input> {
    input: Input,
    rest: String,
}

impl<Input: BufRead> Statements<Input> {
    fn new(input: Input) -> Self {
        Self { input, rest: String::new() }
    }

    /// The next statement; `None` at the end. `prompt` is called before each line is read, with true when a statement begins.
    fn next(&mut self, prompt: impl Fn(bool)) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = statement_end(&self.rest) {
                let tail = self.rest.split_off(end);
                let statement = std::mem::replace(&mut self.rest, tail);
                if !is_blank(&statement) {
                    return Ok(Some(statement));
                }
                continue;
            }
            prompt(is_blank(&self.rest));
            let room = (STATEMENT_BYTES_MAX + 1).saturating_sub(self.rest.len());
            let mut line = Vec::new();
            let read = io::Read::take(&mut self.input, room as u64).read_until(b'\n', &mut line)?;
            if self.rest.len() + read > STATEMENT_BYTES_MAX {
                let what = format!("a statement is longer than {STATEMENT_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if read == 0 {
                let last = std::mem::take(&mut self.rest);
                return Ok((!is_blank(&last)).then_some(last));
            }
            let line = String::from_utf8(line)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))?;
            self.rest.push_str(&line);
        }
    }
}

/// True for what has nothing to run in it.
fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || character == ';')
}

/// The place after the first `;` that ends a statement.
fn statement_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        at += match bytes[at] {
            b';' => return Some(at + 1),
            quote @ (b'\'' | b'"' | b'`') => quoted_length(rest.as_bytes(), quote)?,
            b'-' if rest.starts_with("--") => rest.find('\n')? + 1,
            b'/' if rest.starts_with("/*") => rest[2..].find("*/")? + 4,
            // One byte at a time is right in UTF-8: all that is looked for is ASCII, but slicing wants whole characters.
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// The length of a quoted text with its quotes; a backslash takes the next byte with it. `None` while it is open.
fn quoted_length(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        let mut statements = Statements::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(statement) = statements.next(|_| ()).unwrap() {
            all.push(statement.trim().to_owned());
        }
        all
    }

    #[test]
    fn a_semicolon_ends_a_statement_but_not_within_quotes_and_comments() {
        assert_eq!(split("SELECT 1; SELECT\n2;\n"), ["SELECT 1;", "SELECT\n2;"]);
        assert_eq!(split("SELECT ';' , \"a;b\", `c;`;x"), ["SELECT ';' , \"a;b\", `c;`;", "x"]);
        assert_eq!(split("SELECT 'it\\'s;' ;"), ["SELECT 'it\\'s;' ;"]);
        assert_eq!(
            split("SELECT 1 -- a;b\n; /* ; */ SELECT 2"),
            ["SELECT 1 -- a;b\n;", "/* ; */ SELECT 2"]
        );
        assert_eq!(split(";;\n ; \n"), [""; 0]);
        assert_eq!(split("SELECT 'ü;' ; ñ"), ["SELECT 'ü;' ;", "ñ"]);
    }

    #[test]
    fn a_statement_without_end_is_refused_before_it_fills_the_memory() {
        let text = "x".repeat(STATEMENT_BYTES_MAX + 1);
        assert!(Statements::new(text.as_bytes()).next(|_| ()).is_err());
    }

    proptest! {
        #[test]
        fn no_input_is_lost_or_makes_the_splitter_panic(text in "[ -~\n;'\"`\\\\/*é-]{0,200}") {
            let kept: String = split(&text).concat().chars().filter(|c| !c.is_whitespace() && *c != ';').collect();
            let given: String = text.chars().filter(|c| !c.is_whitespace() && *c != ';').collect();
            prop_assert_eq!(kept, given);
        }
    }
}
