//! One HTTP/1.1 answer. In: bytes as they come from a socket, cut anywhere. Out: the status and the
//! five headers that matter here; the body is counted off and thrown away. Refuses heads over 16 KiB,
//! lines that are no HTTP and lengths that are no numbers: the connection is then of no further use.

use std::borrow::Cow;

/// A head or a trailer longer than this is not from the service under test.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What an answer said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200..=999.
    pub status: u16,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// The bytes of `Leadtrail-Receipt`.
    pub receipt: Option<Vec<u8>>,
    /// The bytes of `Location`.
    pub location: Option<Vec<u8>>,
    /// Whether there is a `Retry-After`.
    pub retry_after: bool,
}

/// Why bytes are not an answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResponseError {
    /// More than 16 KiB before the body.
    #[error("the head of the answer is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// No `HTTP/1.x NNN`.
    #[error("the answer does not start with an HTTP/1 status line")]
    StatusLine,
    /// A header line without a colon.
    #[error("the answer has a header line without a colon")]
    HeaderLine,
    /// A `Content-Length` or chunk size that is no number.
    #[error("the answer has a length that is no number")]
    Length,
}

enum State {
    StatusLine,
    Headers,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
}

/// Reads answers one after the other from one connection.
pub struct ResponseReader {
    state: State,
    /// The part of a line that earlier bytes held.
    line: Vec<u8>,
    head_bytes: usize,
    content_length: Option<u64>,
    chunked: bool,
    response: Response,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self {
            state: State::StatusLine,
            line: Vec::new(),
            head_bytes: 0,
            content_length: None,
            chunked: false,
            response: Response::default(),
        }
    }
}

impl ResponseReader {
    /// Takes the next bytes. Gives the answer when they complete it, and how many of them it used;
    /// `None` when all were used and more are needed.
    ///
    /// # Errors
    /// When the bytes are no HTTP/1 answer. The reader must then be thrown away.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Response, usize)>, ResponseError> {
        let mut rest = bytes;
        loop {
            let finished = match self.state {
                State::UntilClose => return Ok(None),
                State::Body(0) => true,
                State::Body(left) => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Body(left - skip(&mut rest, left));
                    false
                }
                State::Chunk(0) => {
                    self.state = State::ChunkEnd;
                    false
                }
                State::Chunk(left) => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Chunk(left - skip(&mut rest, left));
                    false
                }
                _ => match self.line_end(&mut rest)? {
                    None => return Ok(None),
                    Some(line) => self.take_line(&line)?,
                },
            };
            if finished {
                let response = std::mem::take(self).response;
                return Ok(Some((response, bytes.len() - rest.len())));
            }
        }
    }

    /// Tells that the peer closed. Gives the answer when its body was to end so.
    pub fn end(&mut self) -> Option<Response> {
        match self.state {
            State::UntilClose => Some(std::mem::take(self).response),
            _ => None,
        }
    }

    /// The next whole line, without its end, or `None` when it needs more bytes.
    fn line_end<'a>(
        &mut self,
        rest: &mut &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, ResponseError> {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(rest.len(), |end| end + 1);
        self.head_bytes += taken;
        if self.head_bytes > HEAD_BYTES_MAX {
            return Err(ResponseError::HeadTooLong);
        }
        let (piece, after) = rest.split_at(taken);
        *rest = after;
        if end.is_none() {
            self.line.extend_from_slice(piece);
            return Ok(None);
        }
        if self.line.is_empty() {
            return Ok(Some(without_line_end(piece).into()));
        }
        self.line.extend_from_slice(piece);
        let whole = std::mem::take(&mut self.line);
        Ok(Some(without_line_end(&whole).to_vec().into()))
    }

    /// Moves on by one line; true when it ended the answer.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, ResponseError> {
        match self.state {
            State::StatusLine => {
                self.response.status = status_of(line)?;
                self.response.keep_alive = line.starts_with(b"HTTP/1.1");
                self.state = State::Headers;
            }
            State::Headers if line.is_empty() => return Ok(self.head_ended()),
            State::Headers => self.take_header(line)?,
            State::ChunkSize => {
                self.head_bytes = 0;
                let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
                self.state = match number_of(size.trim_ascii(), 16)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(ResponseError::Length),
            State::Trailers => return Ok(line.is_empty()),
            State::Body(_) | State::Chunk(_) | State::UntilClose => {
                unreachable!("bodies are not read by line")
            }
        }
        Ok(false)
    }

    fn take_header(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let colon = line.iter().position(|&byte| byte == b':').ok_or(ResponseError::HeaderLine)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length = Some(number_of(value, 10)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.to_ascii_lowercase().ends_with(b"chunked");
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.response.keep_alive = !value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"leadtrail-receipt") {
            self.response.receipt = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"location") {
            self.response.location = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            self.response.retry_after = true;
        }
        Ok(())
    }

    /// Decides where the body ends; true when there is none.
    fn head_ended(&mut self) -> bool {
        self.head_bytes = 0;
        match self.response.status {
            // An interim answer: the real one follows.
            100..=199 => {
                *self = Self::default();
                return false;
            }
            204 | 304 => return true,
            _ => {}
        }
        self.state = match (self.chunked, self.content_length) {
            (true, _) => State::ChunkSize,
            (false, Some(length)) => State::Body(length),
            (false, None) => {
                self.response.keep_alive = false;
                State::UntilClose
            }
        };
        false
    }
}

/// Drops at most `limit` bytes from the front and says how many.
fn skip(rest: &mut &[u8], limit: u64) -> u64 {
    let count = usize::try_from(limit).unwrap_or(usize::MAX).min(rest.len());
    *rest = &rest[count..];
    count as u64
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn status_of(line: &[u8]) -> Result<u16, ResponseError> {
    let digits = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .ok_or(ResponseError::StatusLine)?;
    let status = number_of(digits, 10).map_err(|_| ResponseError::StatusLine)?;
    u16::try_from(status).ok().filter(|status| *status >= 100).ok_or(ResponseError::StatusLine)
}

fn number_of(digits: &[u8], radix: u32) -> Result<u64, ResponseError> {
    if digits.first().is_none_or(|first| !first.is_ascii_alphanumeric()) {
        return Err(ResponseError::Length);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, radix).ok())
        .ok_or(ResponseError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `pieces` and gives the answers that came out, and how the connection ended.
    fn read(pieces: &[&[u8]]) -> Result<Vec<Response>, ResponseError> {
        let (mut reader, mut answers) = (ResponseReader::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match reader.feed(rest)? {
                    Some((answer, used)) => {
                        answers.push(answer);
                        rest = &rest[used..];
                    }
                    None => break,
                }
            }
        }
        answers.extend(reader.end());
        Ok(answers)
    }

    fn answer(status: u16, keep_alive: bool) -> Response {
        Response { status, keep_alive, ..Response::default() }
    }

    const REDIRECT: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: https://shop.example/?lt=abc\r\n\
        Leadtrail-Receipt: AZ\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;note=1\r\nWiki\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: x\r\n\r\n";
    const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    const INTERIM: &[u8] =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn status_headers_and_bodies_are_read() {
        let redirect = Response {
            receipt: Some(b"AZ".to_vec()),
            location: Some(b"https://shop.example/?lt=abc".to_vec()),
            ..answer(302, true)
        };
        assert_eq!(read(&[REDIRECT]), Ok(vec![redirect]));
        assert_eq!(read(&[CHUNKED]), Ok(vec![answer(200, true)]));
        assert_eq!(read(&[NO_CONTENT]), Ok(vec![answer(204, false)]));
        assert_eq!(read(&[INTERIM]), Ok(vec![answer(503, true)]));
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\n\r\nuntil the end"]), Ok(vec![answer(200, false)]));
        assert_eq!(
            read(&[b"HTTP/1.0 404 Not Found\nContent-Length: 0\n\n"]),
            Ok(vec![answer(404, false)])
        );
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert_eq!(read(&[b"SSH-2.0-x\r\n"]), Err(ResponseError::StatusLine));
        assert_eq!(read(&[b"HTTP/1.1 2x0 OK\r\n"]), Err(ResponseError::StatusLine));
        assert_eq!(read(&[b"HTTP/1.1 099 OK\r\n"]), Err(ResponseError::StatusLine));
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\nno colon\r\n"]), Err(ResponseError::HeaderLine));
        assert_eq!(
            read(&[b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n"]),
            Err(ResponseError::Length)
        );
        assert_eq!(
            read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]),
            Err(ResponseError::Length)
        );
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(read(&[&endless]), Err(ResponseError::HeadTooLong));
    }

    #[test]
    fn an_answer_cut_short_is_no_answer() {
        for whole in [REDIRECT, CHUNKED, NO_CONTENT] {
            for length in 0..whole.len() {
                assert_eq!(read(&[&whole[..length]]), Ok(vec![]), "{length} bytes");
            }
        }
    }

    #[test]
    fn a_cut_at_every_byte_changes_nothing() {
        let stream = [NO_CONTENT, REDIRECT, CHUNKED, INTERIM].concat();
        let whole = read(&[&stream]).unwrap();
        assert_eq!(whole.len(), 4);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(read(&[left, right]).as_ref(), Ok(&whole), "cut at {cut}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&single), Ok(whole));
    }

    proptest! {
        #[test]
        fn any_cuts_of_any_bodies_change_nothing(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
            chunk_bytes in 1_usize..50,
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut stream = Vec::new();
            for (index, body) in bodies.iter().enumerate() {
                if index % 2 == 0 {
                    stream.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
                    stream.extend(body);
                } else {
                    stream.extend(b"HTTP/1.1 302 Found\r\ntransfer-encoding: gzip, chunked\r\n\r\n");
                    for chunk in body.chunks(chunk_bytes) {
                        stream.extend(format!("{:x}\r\n", chunk.len()).bytes());
                        stream.extend(chunk);
                        stream.extend(b"\r\n");
                    }
                    stream.extend(b"0\r\n\r\n");
                }
            }
            let mut pieces = Vec::new();
            let (mut rest, mut sizes) = (stream.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                pieces.push(piece);
                rest = after;
            }
            let answers = read(&pieces).unwrap();
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            let wanted: Vec<u16> =
                (0..bodies.len()).map(|index| if index % 2 == 0 { 200 } else { 302 }).collect();
            prop_assert_eq!(statuses, wanted);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&[&bytes]);
            let headed = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", bytes.as_slice()].concat();
            let _ = read(&[&headed]);
        }
    }
}
