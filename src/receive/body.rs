//! Bodies: read whole, bounded in size and time.
//!
//! In: hyper's body. Out: its bytes. Refuses: more bytes than allowed, a sender that dribbles, a connection that ends half way.
//! Promises: memory is bounded by the cap; a body that is only somewhat too large is read to its end and thrown away, so
//! that the sender sees the refusal instead of a broken connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;

use crate::check::Refusal;

/// A body up to this many times over the cap is read away before it is refused.
const DRAIN_FACTOR: usize = 16;

/// Reads a body.
///
/// # Errors
/// [`Refusal::BodyTooLarge`], [`Refusal::BodyTooSlow`], [`Refusal::BodyIncomplete`] or [`Refusal::BrokenBody`].
pub async fn read(
    body: Incoming,
    headers: &HeaderMap,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // Who waits for a `100 Continue` gets the refusal at once: nothing has been sent yet.
    if announced > bytes_max && headers.contains_key(EXPECT) {
        return Err(Refusal::BodyTooLarge);
    }
    tokio::time::timeout(within, collect(body, bytes_max))
        .await
        .unwrap_or(Err(Refusal::BodyTooSlow))
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| why(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > bytes_max {
            return Err(drain(body, length, bytes_max).await);
        }
        // Most bodies come in one piece, which is then used as it is.
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

async fn drain(mut body: Incoming, mut length: usize, bytes_max: usize) -> Refusal {
    while length <= bytes_max.saturating_mul(DRAIN_FACTOR)
        && let Some(Ok(frame)) = body.frame().await
    {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    Refusal::BodyTooLarge
}

/// A connection that ended is not the same as chunks that are no chunks.
fn why(error: &hyper::Error) -> Refusal {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Refusal::BodyIncomplete
    } else {
        Refusal::BrokenBody
    }
}
