//! One request to the edge beside the load. In: a port and what to send. Out: status, receipt, `Retry-After`. Refuses: an answer that
//! is no HTTP. Promises: one connection, one request, within a limit.

use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

/// The edge answers within 5 s whatever happens.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The event's id, when the answer says that it is durable.
    pub receipt: Option<Uuid>,
    /// Whether it says when to come again.
    pub retry_after: bool,
}

/// Follows a link, or asks an ops listener, which answers to listed hosts only.
pub async fn get(port: u16, path: &str) -> anyhow::Result<Answer> {
    ask(port, format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")).await
}

/// Posts a form.
pub async fn post(port: u16, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let length = body.len();
    ask(
        port,
        format!(
            "POST {path} HTTP/1.1\r\nHost: track\r\nAccept: application/json\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
    .await
}

/// What an ops listener says, after its headers.
pub async fn text(port: u16, path: &str) -> anyhow::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let answer = exchange(port, &request).await?;
    Ok(answer.split_once("\r\n\r\n").context("the ops listener's answer is no HTTP")?.1.to_owned())
}

async fn ask(port: u16, request: String) -> anyhow::Result<Answer> {
    read(&exchange(port, &request).await?).context("the edge's answer is no HTTP")
}

async fn exchange(port: u16, request: &str) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let Ok(answer) = tokio::time::timeout(ANSWER_MAX, exchange).await else {
        bail!("no answer from the edge within {} s", ANSWER_MAX.as_secs())
    };
    Ok(String::from_utf8_lossy(&answer?).into_owned())
}

fn read(answer: &str) -> Option<Answer> {
    let head = answer.split_once("\r\n\r\n")?.0;
    let header = |name: &str| {
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let receipt = header("leadtrail-receipt")
        .and_then(|text| Uuid::from_slice(URL_SAFE_NO_PAD.decode(text).ok()?.get(..16)?).ok());
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        receipt,
        retry_after: header("retry-after").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_receipt_and_when_to_come_again() {
        let receipt = URL_SAFE_NO_PAD.encode([7; 24]);
        let taken =
            read(&format!("HTTP/1.1 200 OK\r\nLeadtrail-Receipt: {receipt}\r\n\r\n{{}}")).unwrap();
        assert_eq!(
            (taken.status, taken.receipt, taken.retry_after),
            (200, Some(Uuid::from_bytes([7; 16])), false)
        );
        let refused = read("HTTP/1.1 503 Away\r\nRetry-After: 5\r\n\r\n").unwrap();
        assert_eq!((refused.status, refused.receipt, refused.retry_after), (503, None, true));
        assert!(read("nothing").is_none());
    }
}
