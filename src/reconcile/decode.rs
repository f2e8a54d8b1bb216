//! Decoding: a file's bytes become UTF-8, whatever program wrote it.
//!
//! In: bytes. Out: UTF-8 text, chunk by chunk; which sign stands between columns. Refuses: nothing: what can't be read is replaced.
//! Promises: memory is bounded; a byte order mark decides, else zeros in every second byte (UTF-16), else whether the first
//! bytes are UTF-8, else they are Windows-1252.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CHUNK_BYTES: usize = 32 * 1024;

/// Signs that stand between columns.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Lines that are looked at to find it.
const LINES_LOOKED_AT: usize = 20;

/// A reader of UTF-8.
pub struct Decoded<R> {
    source: R,
    decoder: Decoder,
    /// What was read to find the encoding, once.
    first: Option<Vec<u8>>,
    decoded: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    /// Looks at the beginning.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut first = Vec::with_capacity(CHUNK_BYTES);
        (&mut source).take(CHUNK_BYTES as u64).read_to_end(&mut first)?;
        let decoder = encoding_of(&first).new_decoder();
        Ok(Self {
            source,
            decoder,
            first: Some(first),
            decoded: Vec::new(),
            given: 0,
            ended: false,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        let chunk = match self.first.take() {
            Some(first) => first,
            None => {
                let mut chunk = vec![0; CHUNK_BYTES];
                let length = self.source.read(&mut chunk)?;
                self.ended = length == 0;
                chunk.truncate(length);
                chunk
            }
        };
        let room = self.decoder.max_utf8_buffer_length(chunk.len()).unwrap_or(4 * CHUNK_BYTES);
        self.decoded.resize(room, 0);
        let (_, _, written, _) = self.decoder.decode_to_utf8(&chunk, &mut self.decoded, self.ended);
        self.decoded.truncate(written);
        self.given = 0;
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.decoded.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let rest = &self.decoded[self.given..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

fn encoding_of(first: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(first) {
        return encoding;
    }
    let zeros =
        |odd: usize| first.iter().take(200).skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let half = first.len().min(200) / 2;
    if half > 0 && zeros(1) * 10 > half * 8 {
        return UTF_16LE;
    }
    if half > 0 && zeros(0) * 10 > half * 8 {
        return UTF_16BE;
    }
    match std::str::from_utf8(first) {
        Ok(_) => UTF_8,
        // A character may be cut at the end of what was looked at.
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// The sign between columns: what Excel's `sep=` line says, else the one that the first lines hold most often outside quotes.
///
/// # Errors
/// When it can't be read.
pub fn delimiter(text: &mut impl BufRead) -> io::Result<u8> {
    let beginning = String::from_utf8_lossy(text.fill_buf()?).into_owned();
    if let Some(sign) = beginning.strip_prefix("sep=").and_then(|rest| rest.bytes().next()) {
        return Ok(sign);
    }
    let mut counts = [0_usize; DELIMITERS.len()];
    for line in beginning.lines().take(LINES_LOOKED_AT) {
        let mut quoted = false;
        for byte in line.bytes() {
            quoted ^= byte == b'"';
            let place = DELIMITERS.iter().position(|sign| *sign == byte);
            if let (Some(place), false) = (place, quoted) {
                counts[place] += 1;
            }
        }
    }
    let most = (0..DELIMITERS.len()).max_by_key(|place| (counts[*place], DELIMITERS.len() - place));
    Ok(DELIMITERS[most.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn text(bytes: &[u8]) -> String {
        let mut text = String::new();
        Decoded::new(bytes).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_usual_encoding_is_read() {
        let wide = |order: fn(u16) -> [u8; 2], mark: &[u8]| -> Vec<u8> {
            let units = "Bestellung;Betrag €\nA-1;12,50\n".repeat(3_000);
            mark.iter().copied().chain(units.encode_utf16().flat_map(order)).collect()
        };
        let expected = "Bestellung;Betrag €\nA-1;12,50\n".repeat(3_000);
        assert_eq!(text(expected.as_bytes()), expected);
        assert_eq!(text(format!("\u{feff}{expected}").as_bytes()), expected);
        assert_eq!(text(&wide(u16::to_le_bytes, &[0xff, 0xfe])), expected);
        assert_eq!(text(&wide(u16::to_be_bytes, &[0xfe, 0xff])), expected);
        assert_eq!(text(&wide(u16::to_le_bytes, &[])), expected);
        assert_eq!(text(b"Betr\xe4ge \x80"), "Beträge €");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn the_sign_between_columns_is_found() {
        let sign =
            |text: &str| char::from(delimiter(&mut BufReader::new(text.as_bytes())).unwrap());
        assert_eq!(sign("id,amount\n1,\"2;3;4;5\"\n"), ',');
        assert_eq!(sign("id;amount\n1;2,5\n"), ';');
        assert_eq!(sign("id\tamount\n1\t2,5\n"), '\t');
        assert_eq!(sign("sep=|\nid|amount\n"), '|');
        assert_eq!(sign("id\n1\n"), ',');
    }
}
