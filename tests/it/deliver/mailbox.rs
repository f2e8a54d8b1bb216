//! A mail server that keeps what it gets; the first mail of all it sends away for now.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A mail server on a port of its own; it lives as long as the test run.
pub struct Mailbox {
    pub port: u16,
    seen: Arc<Mutex<Vec<Mail>>>,
}

/// A mail, and whether it was taken.
#[derive(Clone, Debug)]
pub struct Mail {
    pub to: Vec<String>,
    pub head: String,
    pub body: String,
    pub taken: bool,
}

impl Mail {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Mailbox {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || talk(&stream, &kept));
            }
        });
        Self { port, seen }
    }

    pub fn seen(&self) -> Vec<Mail> {
        self.seen.lock().unwrap().clone()
    }
}

fn talk(mut stream: &TcpStream, kept: &Mutex<Vec<Mail>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut to = Vec::new();
    writeln!(stream, "220 here\r").ok()?;
    loop {
        let line = lines.next()?.ok()?;
        let reply = match line.split([' ', ':']).next()? {
            "RCPT" => {
                to.push(line.split(['<', '>']).nth(1)?.to_owned());
                "250 ok"
            }
            "DATA" => {
                writeln!(stream, "354 go on\r").ok()?;
                let mut text = String::new();
                loop {
                    let line = lines.next()?.ok()?;
                    if line == "." {
                        break;
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
                let (head, body) = text.split_once("\n\n")?;
                let mut kept = kept.lock().unwrap();
                let taken = !kept.is_empty();
                let (head, body) = (head.to_owned(), body.to_owned());
                kept.push(Mail { to: std::mem::take(&mut to), head, body, taken });
                if taken { "250 kept" } else { "451 later" }
            }
            "QUIT" => {
                let _ = writeln!(stream, "221 bye\r");
                return Some(());
            }
            _ => "250 ok",
        };
        writeln!(stream, "{reply}\r").ok()?;
    }
}
