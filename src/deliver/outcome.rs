//! What became of an attempt, in closed words.
//!
//! In: a status, an error. Out: an [`Outcome`]. Refuses: nothing. Promises: no word of it comes from the receiver, so that none can hold a
//! person's data.

/// Declares the reasons with their words.
macro_rules! reasons {
    ($($variant:ident $word:literal $says:literal;)*) => {
        /// Why an attempt failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $(#[doc = $says] $variant),* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As the tables, the metrics and `webhook list` say it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The reason of this word.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.word() == word)
            }
        }
    };
}

reasons! {
    Unresolved "unresolved" "The host has no address.";
    AddressRefused "address_refused" "Its addresses are private ones that are not listed in allow_networks.";
    Unreachable "unreachable" "No connection.";
    Tls "tls" "No encryption: mostly a certificate that isn't trusted.";
    Timeout "timeout" "No answer in time.";
    Broken "broken" "The connection ended, or what came was no answer.";
    Redirect "redirect" "A status 3xx; redirects are not followed.";
    Refused "refused" "A status 4xx: the receiver doesn't take this one. By SMTP: 5yz.";
    Busy "busy" "408, 425 or 429; by SMTP 4yz: later.";
    ServerError "server_error" "A status 5xx.";
    Gone "gone" "410: it wants nothing any more, and is disabled.";
    Login "login" "The mail server doesn't take user and password.";
    Unwritable "unwritable" "No mail could be made of the lead.";
    LeadGone "lead_gone" "The lead is not stored any more.";
    Disabled "disabled" "The endpoint was disabled until it was too late.";
}

impl Reason {
    /// True when the next one is likely to fail the same way: then the endpoint rests, not only this lead.
    pub fn is_endpoints(self) -> bool {
        !matches!(self, Self::Refused | Self::Unwritable | Self::LeadGone | Self::Disabled)
    }

    /// True when trying again can't help.
    pub fn is_final(self) -> bool {
        matches!(self, Self::LeadGone | Self::Disabled)
    }
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered {
        /// What it answered.
        status: u16,
    },
    /// It has not, or did not say so.
    Failed {
        /// Why.
        reason: Reason,
        /// What it answered; 0: nothing.
        status: u16,
        /// What it asked for in `Retry-After`.
        wait_ms: i64,
    },
}

impl Outcome {
    /// Without an answer.
    pub fn failed(reason: Reason) -> Self {
        Self::Failed { reason, status: 0, wait_ms: 0 }
    }

    /// From an HTTP answer.
    pub fn of_status(status: u16, wait_ms: i64) -> Self {
        let reason = match status {
            200..=299 => return Self::Delivered { status },
            300..=399 => Reason::Redirect,
            408 | 425 | 429 => Reason::Busy,
            410 => Reason::Gone,
            400..=499 => Reason::Refused,
            _ => Reason::ServerError,
        };
        Self::Failed { reason, status, wait_ms }
    }

    /// As a metric's label says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Failed { reason, .. } => reason.word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for (status, word) in [
            (200, "delivered"),
            (204, "delivered"),
            (301, "redirect"),
            (400, "refused"),
            (404, "refused"),
            (408, "busy"),
            (410, "gone"),
            (429, "busy"),
            (500, "server_error"),
            (503, "server_error"),
            (999, "server_error"),
        ] {
            assert_eq!(Outcome::of_status(status, 0).word(), word, "{status}");
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.word()), Some(*reason));
        }
    }
}
