//! Multipart bodies: parts in, fields out.

use proptest::prelude::*;

use super::*;

fn fields(body: &[u8]) -> Result<Fields, Refusal> {
    let mut fields = Fields::new(3);
    read(body, "B", Charset::default(), &mut fields).map(|()| fields)
}

fn part(head: &str, content: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn fields_are_kept_and_of_a_file_what_it_was() {
    let body = [
        part("name=\"email\"", "a@b.example"),
        part(
            "name=\"cv\"; filename=\"C:\\me\\cv.pdf\"\r\nContent-Type: application/pdf",
            "%PDF--B",
        ),
        part("x=1", "orphan"),
    ]
    .concat();
    let read = fields(format!("{body}--B--\r\n").as_bytes()).unwrap();
    let mark = r#"{"bytes":7,"field":"cv","name":"cv.pdf","type":"application/pdf"}"#;
    let expected = [("email", "a@b.example"), (FILE_MARK, mark), ("", "orphan")];
    assert_eq!(read.list, pairs(&expected));
    assert_eq!(read.flags.words(), ["file_skipped", "field_unnamed"]);
}

#[test]
fn a_file_input_left_alone_is_no_file() {
    let body = part("name=\"cv\"; filename=\"\"", "");
    let read = fields(format!("{body}--B--\r\n").as_bytes()).unwrap();
    assert!(read.list.is_empty() && read.flags.words().is_empty());
}

#[test]
fn what_only_looks_like_a_delimiter_is_content() {
    let body = part("name=\"m\"", "--B x\r\n--Bx\r\n-- B\r\n--B\rq\r\nx--B--\r\n-");
    let read = fields(format!("junk --B? --B\n{}--B--", &body[5..]).as_bytes()).unwrap();
    assert_eq!(read.list, pairs(&[("m", "--B x\r\n--Bx\r\n-- B\r\n--B\rq\r\nx--B--\r\n-")]));
}

#[test]
fn a_part_says_its_charset_and_one_part_may_say_it_for_all() {
    let own = b"--B\r\nContent-Disposition: form-data; name=\"n\"\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B%\"%j%9\x1b(B\r\n--B--";
    assert_eq!(fields(own).unwrap().list, pairs(&[("n", "アリス")]));
    let all = b"--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n\xa3uk\r\n--B\r\nContent-Disposition: form-data; name=\"_charset_\"\r\n\r\niso-8859-2\r\n--B--";
    assert_eq!(fields(all).unwrap().list, pairs(&[("n", "Łuk"), ("_charset_", "iso-8859-2")]));
}

#[test]
fn parts_without_end_are_broken_and_too_many_are_too_many() {
    let one = part("name=\"a\"", "1");
    for body in
        ["", "--B", "--B\r\n", "no parts", &one, &format!("{one}--B"), &one[..one.len() - 4]]
    {
        assert_eq!(fields(body.as_bytes()).unwrap_err(), Refusal::BrokenBody, "{body:?}");
    }
    let many = format!("{}--B--\r\n", one.repeat(4));
    assert_eq!(fields(many.as_bytes()).unwrap_err(), Refusal::TooManyFields);
}

proptest! {
    #[test]
    fn parts_survive(list in prop::collection::vec(("[^\r\n\"%\\\\]{0,12}", "(?s).{0,30}"), 0..4), padding in "[ \t]{0,2}") {
        let mut body = String::new();
        for (name, value) in &list {
            body += &format!("--BBB{padding}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        let mut read_back = Fields::new(9);
        read(format!("{body}--BBB--").as_bytes(), "BBB", Charset::default(), &mut read_back).unwrap();
        prop_assert_eq!(read_back.list, list);
    }

    #[test]
    fn any_bytes_are_read_or_refused(pieces in prop::collection::vec(prop_oneof![
        Just(b"--B".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"--".to_vec()), Just(b"\r\n\r\n".to_vec()),
        Just(b"Content-Disposition: form-data; name=".to_vec()), Just(b"\"".to_vec()), Just(b"; filename*=".to_vec()),
        Just(b"Content-Type: text/plain; charset=".to_vec()), Just(b"Content-Transfer-Encoding: base64".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6)], 0..30)) {
        if let Ok(read) = fields(&pieces.concat()) {
            prop_assert!(read.list.len() <= 3);
        }
    }
}
