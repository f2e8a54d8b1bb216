//! The rate-limit fields of an answer: `RateLimit-Policy` and `RateLimit`.
//!
//! In: how a sender stands to a limit. Out: the two header fields of draft-ietf-httpapi-ratelimit-headers-11, as structured fields:
//! `RateLimit-Policy: "address";q=600;w=60` (so many in so many seconds) and `RateLimit: "address";r=199;t=1` (how many more pass
//! now, and in how many seconds more will). Promises: what is told of a sender that is within its limits is its own network's
//! standing, never how much a form or site gets from others.

use hyper::header::{HeaderName, HeaderValue};

use crate::check::limits::{Policy, Standing};
use crate::config;
use crate::receive::reply::Reply;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The window of every limit: they are set by the minute.
const WINDOW_S: u32 = 60;

/// The policies, written once.
pub struct RateFields {
    policies: [HeaderValue; 4],
}

fn name(policy: Policy) -> &'static str {
    match policy {
        Policy::Global => "global",
        Policy::Site => "site",
        Policy::Address => "address",
        Policy::Form => "form",
    }
}

impl RateFields {
    /// After the `[limits]` section.
    pub fn new(config: &config::Limits) -> Self {
        let field = |policy: Policy, per_minute: u32| {
            let text = format!("\"{}\";q={per_minute};w={WINDOW_S}", name(policy));
            HeaderValue::try_from(text).expect("a name of ours and numbers are visible ASCII")
        };
        Self {
            policies: [
                field(Policy::Global, config.global_per_minute),
                field(Policy::Site, config.site_per_minute),
                field(Policy::Address, config.address_per_minute),
                field(Policy::Form, config.form_per_minute),
            ],
        }
    }

    /// Adds both fields.
    pub fn tell(&self, reply: &mut Reply, standing: Standing) {
        let Standing { policy, remaining, reset_s, .. } = standing;
        let text = format!("\"{}\";r={remaining};t={reset_s}", name(policy));
        let value = HeaderValue::try_from(text);
        let value = value.expect("a name of ours and numbers are visible ASCII");
        let headers = reply.headers_mut();
        headers.insert(RATE_LIMIT_POLICY, self.policies[policy as usize].clone());
        headers.insert(RATE_LIMIT, value);
    }
}
