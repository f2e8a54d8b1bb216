//! Multipart bodies, as flat fields.
//!
//! In: a whole body in memory and its boundary. Out: the parts that are fields, in order. Refuses: parts without end, broken headers.
//! Promises: a file is skipped and flagged; a part without a name is kept under an empty one and flagged.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use multer::Multipart;

use crate::check::Refusal;
use crate::check::flags::Flag;
use crate::receive::fields::Fields;

/// Reads a body.
///
/// # Errors
/// When it can't be read, or is over a cap of [`Fields`].
pub fn read(body: &[u8], boundary: &str, fields: &mut Fields) -> Result<(), Refusal> {
    // The body is whole, so that the parser never has to wait: it is polled once, and a wait means that the end is missing.
    let reading = pin!(parts(Bytes::copy_from_slice(body), boundary, fields));
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Refusal::BrokenBody),
    }
}

async fn parts(body: Bytes, boundary: &str, fields: &mut Fields) -> Result<(), Refusal> {
    let mut multipart = Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
    while let Some(part) = multipart.next_field().await.map_err(|_| Refusal::BrokenBody)? {
        let name = part.name().map(str::to_owned);
        // Browsers send an empty, unnamed file for a file input that was left alone: nothing is lost with it.
        let file_name = part.file_name().map(str::to_owned);
        let content = part.bytes().await.map_err(|_| Refusal::BrokenBody)?;
        match file_name {
            Some(file_name) if file_name.is_empty() && content.is_empty() => {}
            Some(_) => fields.flags.set(Flag::FileSkipped),
            None => {
                if name.is_none() {
                    fields.flags.set(Flag::FieldUnnamed);
                }
                let value = fields.text(&content);
                fields.push(name.unwrap_or_default(), value)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Result<Fields, Refusal> {
        let mut fields = Fields::new(3);
        read(body.as_bytes(), "B", &mut fields).map(|()| fields)
    }

    fn part(head: &str, content: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    #[test]
    fn files_are_skipped_and_fields_kept() {
        let body = [
            part("name=\"email\"", "a@b.example"),
            part("name=\"cv\"; filename=\"cv.pdf\"\r\nContent-Type: application/pdf", "%PDF--B"),
            part("name=\"message\"", "two\r\nlines -- B"),
            part("x=1", "orphan"),
        ]
        .concat();
        let read = fields(&format!("{body}--B--\r\n")).unwrap();
        let expected = [("email", "a@b.example"), ("message", "two\r\nlines -- B"), ("", "orphan")];
        assert_eq!(read.list, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read.flags.words(), ["file_skipped", "field_unnamed"]);
    }

    #[test]
    fn a_file_input_left_alone_is_no_file() {
        let body = part("name=\"cv\"; filename=\"\"", "");
        let read = fields(&format!("{body}--B--\r\n")).unwrap();
        assert!(read.list.is_empty() && read.flags.words().is_empty());
    }

    #[test]
    fn parts_without_end_are_broken_and_too_many_are_too_many() {
        let one = part("name=\"a\"", "1");
        for body in
            ["", "--B", "--B\r\n", "no parts", &one, &format!("{one}--B"), &one[..one.len() - 4]]
        {
            assert_eq!(fields(body).unwrap_err(), Refusal::BrokenBody, "{body:?}");
        }
        let many = format!("{}--B--\r\n", one.repeat(4));
        assert_eq!(fields(&many).unwrap_err(), Refusal::TooManyFields);
    }
}
