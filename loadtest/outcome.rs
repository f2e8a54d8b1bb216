//! What became of one request. In: an answer, or the trouble that took its place. Out: what is known
//! of its event: durable, refused, or not known. Nothing is guessed: where the wire leaves it open,
//! the outcome says so, and the reconciliation allows either.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::mix::Kind;
use crate::response::Response;

/// The receipt's first bytes are the event's id; what follows is the edge's own business.
const ID_BYTES: usize = 16;
/// Longer receipts are not decoded.
const RECEIPT_CHARS_MAX: usize = 256;

/// What is known of the event of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The edge gave a receipt: the event must be in the warehouse, once.
    Durable(Uuid),
    /// Answered without a receipt: it may be stored, or not.
    Unconfirmed,
    /// Answered with 4xx or 5xx: it must not be stored.
    Refused,
    /// Sent, but no answer that could be read: it may be stored, or not.
    Unknown,
    /// Never sent: it must not be stored.
    Unsent,
}

impl Outcome {
    /// The name in receipts files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Durable(_) => "durable",
            Self::Unconfirmed => "unconfirmed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Unsent => "unsent",
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It waited too long for a connection (the service is down or far behind), or the run was stopped.
    Unsent,
    /// The connection broke after the request was (perhaps partly) sent.
    Broken,
    /// No answer in time.
    TimedOut,
    /// The answer was no HTTP.
    BadAnswer,
    /// The answer's receipt cannot be read.
    BadReceipt,
}

impl Trouble {
    /// In words, for the summary.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unsent => "never sent: no connection was free in time",
            Self::Broken => "the connection broke before the answer",
            Self::TimedOut => "no answer in time",
            Self::BadAnswer => "the answer was no HTTP",
            Self::BadReceipt => "the receipt could not be read",
        }
    }
}

/// The parts of an answer that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The event's id, when the edge says that it is durable.
    pub receipt: Option<Uuid>,
    /// Whether it says when to come again.
    pub retry_after: bool,
}

impl Answer {
    /// Keeps what matters of `response`.
    ///
    /// # Errors
    /// When it has a receipt that holds no event id.
    pub fn of(response: &Response) -> Result<Self, Trouble> {
        let receipt = match &response.receipt {
            None => None,
            Some(bytes) => Some(id_in_receipt(bytes).ok_or(Trouble::BadReceipt)?),
        };
        Ok(Self { status: response.status, receipt, retry_after: response.retry_after })
    }

    /// Whether the edge took the request.
    pub fn accepted(self) -> bool {
        self.status < 400
    }

    /// Whether it sends away somebody who may come again, without saying when.
    pub fn is_mute(self) -> bool {
        matches!(self.status, 429 | 503) && !self.retry_after
    }
}

/// The event id in a receipt: base64url without padding, the id in the first 16 bytes, big endian.
pub fn id_in_receipt(receipt: &[u8]) -> Option<Uuid> {
    if receipt.len() > RECEIPT_CHARS_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(receipt).ok()?;
    Some(Uuid::from_bytes(bytes.get(..ID_BYTES)?.try_into().ok()?))
}

/// One planned request at its end.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Its place in the schedule, also the number in its tag.
    pub number: u64,
    /// What was sent.
    pub kind: Kind,
    /// When it was to be sent.
    pub planned: Instant,
    /// When it was sent; `None` for one that never was.
    pub sent: Option<Instant>,
    /// When it was answered, or given up.
    pub ended: Instant,
    /// The answer, or why there is none.
    pub result: Result<Answer, Trouble>,
}

impl Finished {
    /// What is known of its event.
    pub fn outcome(&self) -> Outcome {
        match self.result {
            Ok(answer) if !answer.accepted() => Outcome::Refused,
            Ok(Answer { receipt: Some(id), .. }) => Outcome::Durable(id),
            Ok(Answer { receipt: None, .. }) => Outcome::Unconfirmed,
            Err(Trouble::Unsent) => Outcome::Unsent,
            Err(_) => Outcome::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(result: Result<Answer, Trouble>) -> Outcome {
        let now = Instant::now();
        Finished { number: 0, kind: Kind::Click, planned: now, sent: None, ended: now, result }
            .outcome()
    }

    #[test]
    fn only_a_receipt_on_an_accepted_request_is_durable() {
        let id = Uuid::from_u128(7);
        let answer = |status, receipt| Ok(Answer { status, receipt, retry_after: false });
        assert_eq!(outcome(answer(302, Some(id))), Outcome::Durable(id));
        assert_eq!(outcome(answer(302, None)), Outcome::Unconfirmed);
        for refusal in [400, 404, 429, 500, 503] {
            assert_eq!(outcome(answer(refusal, None)), Outcome::Refused);
            assert_eq!(outcome(answer(refusal, Some(id))), Outcome::Refused);
        }
        assert_eq!(outcome(Err(Trouble::Unsent)), Outcome::Unsent);
        for trouble in [Trouble::Broken, Trouble::TimedOut, Trouble::BadAnswer, Trouble::BadReceipt]
        {
            assert_eq!(outcome(Err(trouble)), Outcome::Unknown);
        }
    }

    #[test]
    fn the_id_is_the_first_sixteen_bytes_of_the_receipt() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let with_more = URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), &[9; 4]].concat());
        assert_eq!(id_in_receipt(with_more.as_bytes()), Some(id));
        assert_eq!(id_in_receipt(URL_SAFE_NO_PAD.encode(id.as_bytes()).as_bytes()), Some(id));
        assert_eq!(id_in_receipt(URL_SAFE_NO_PAD.encode(&id.as_bytes()[..15]).as_bytes()), None);
        assert_eq!(id_in_receipt(b"no/base64+url=="), None);
        assert_eq!(id_in_receipt(&[b'A'; 300]), None);
        let response =
            Response { status: 200, receipt: Some(b"?".to_vec()), ..Response::default() };
        assert_eq!(Answer::of(&response), Err(Trouble::BadReceipt));
    }
}
