//! Check: a bounded submission becomes an event, or a [`Refusal`].
//!
//! In: what `receive` read from a request. Out: the parts of an [`crate::event::Event`] (origin, visitor, destination, return URL),
//! or a refusal. Refuses: as in the table. Promises: a refusal is data, one enum that decides status, reason code and
//! metric label alike; no reason repeats anything that the sender sent.
//!
//! | status | reason code | when |
//! |---|---|---|
//! | 404 | `not_found` | no such form, link, offer, affiliate, mailing, ad, site, receipt or page: always the same answer |
//! | 410 | `gone` | a link that is retired, expired or switched off and has no fallback, or leads where its site doesn't any more |
//! | 405 | `method_not_allowed` | another method than the door takes; `Allow` names those |
//! | 408 | `header_too_slow` | the header took longer than `edge.header_timeout_ms` |
//! | 408 | `body_too_slow` | the body took longer than `edge.body_timeout_ms` |
//! | 413 | `body_too_large` | more bytes than `edge.body_bytes_max` |
//! | 413 | `too_many_fields` | more fields than `edge.fields_max` |
//! | 413 | `name_too_long` | a field name over `edge.name_bytes_max` |
//! | 413 | `value_too_long` | a field value over `edge.value_bytes_max` |
//! | 415 | `unsupported_type` | neither urlencoded, multipart/form-data, text/plain nor JSON |
//! | 415 | `file_refused` | a file, where the form or its site takes none (`files = "refuse"`) |
//! | 415 | `unsupported_encoding` | a `Content-Encoding` such as gzip |
//! | 400 | `broken_body` | JSON, multipart or chunks that cannot be read |
//! | 400 | `too_deep` | JSON nested more than 8 levels |
//! | 400 | `body_incomplete` | the connection ended in the middle of the body |
//! | 400 | `empty` | a form without a single filled field |
//! | 400 | `missing_field` | a form without a field that it requires; the answer names it |
//! | 400 | `bad_http` | no HTTP/1 request |
//! | 431 | `header_too_large` | more than 32 KiB or 100 header lines |
//! | 429 | `rate_address` | more requests from one network than `limits.address_per_minute` |
//! | 429 | `rate_form` | more posts to one form than `limits.form_per_minute` |
//! | 429 | `rate_site` | more posts to one site's forms than `limits.site_per_minute` |
//! | 429 | `rate_global` | more requests altogether than `limits.global_per_minute` |
//! | 400 | `postback_incomplete` | a postback without what its profile requires |
//! | 400 | `macro_unexpanded` | what a postback requires still holds the template's macro |
//! | 403 | `secret_wrong` | a postback whose secret is missing or wrong |
//! | 403 | `signature_wrong` | a postback whose checksum or signature is missing or wrong |
//! | 403 | `signature_old` | a signed webhook more than five minutes off |
//! | 403 | `address_not_listed` | a postback from an address that is not on its list |
//! | 401 | `key_wrong` | no API key, or one that is unknown, wrong or revoked: always the same answer |
//! | 403 | `key_role` | a key or user whose role may not do this |
//! | 403 | `key_site` | an event of a site that isn't there or that the key is not for |
//! | 429 | `rate_key` | more events than the API key may send |
//! | 413 | `too_many_events` | a batch of more events than `app.events_per_request` |
//! | 400 | `unknown_field` | an event with a member that isn't one; the answer names it |
//! | 400 | `bad_value` | an event with a member that can't be read or isn't registered; the answer names it |
//! | 400 | `idempotency_key_bad` | an `Idempotency-Key` that is empty, too long or not plain ASCII |
//! | 409 | `idempotency_busy` | the same `Idempotency-Key` is being worked on at this moment |
//! | 422 | `idempotency_conflict` | an `Idempotency-Key` that came with other events before |
//! | 503 | `log_full` | the log cannot take the event; nothing was kept, send it again |
//! | 503 | `log_slow` | the log did not confirm in time; it may have been kept |
//! | 503 | `overloaded` | more comes than the edge can do (`edge.lag_max_ms`); nothing was kept, send it again |

use hyper::StatusCode;

pub mod caps;
pub mod clicks;
pub mod destination;
pub mod dialects;
pub mod fill;
pub mod flags;
pub mod fraud;
pub mod landing;
pub mod lead_field;
pub mod limits;
pub mod names;
pub mod origin;
pub mod postbacks;
pub mod profiles;
pub mod redact;
pub mod return_url;
pub mod spam;
pub mod submission;
pub mod unexpanded;
pub mod visitor;

/// Declares the refusals: variant, status, code, and the sentence for people.
macro_rules! refusals {
    ($($name:ident $status:ident $code:literal $sentence:literal;)*) => {
        /// Why a request is refused. The table above has each with its status and code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the table in the module's documentation says it")]
        pub enum Refusal { $($name),* }

        impl Refusal {
            /// All of them, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The answer's status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// The reason code: in the answer and as the metric's label.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// A sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }
        }
    };
}

refusals! {
    NotFound NOT_FOUND "not_found" "There is nothing here.";
    Gone GONE "gone" "This link is no longer in use.";
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "This address does not take that method.";
    HeaderTooSlow REQUEST_TIMEOUT "header_too_slow" "The request took too long to arrive.";
    BodyTooSlow REQUEST_TIMEOUT "body_too_slow" "The request took too long to arrive.";
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "What was sent is too large.";
    TooManyFields PAYLOAD_TOO_LARGE "too_many_fields" "The form has too many fields.";
    NameTooLong PAYLOAD_TOO_LARGE "name_too_long" "A field's name is too long.";
    ValueTooLong PAYLOAD_TOO_LARGE "value_too_long" "A field holds too much text.";
    UnsupportedType UNSUPPORTED_MEDIA_TYPE "unsupported_type" "Send a form (urlencoded or multipart) or JSON.";
    FileRefused UNSUPPORTED_MEDIA_TYPE "file_refused" "This form takes no files; send it without one.";
    UnsupportedEncoding UNSUPPORTED_MEDIA_TYPE "unsupported_encoding" "Send the body uncompressed.";
    BrokenBody BAD_REQUEST "broken_body" "What was sent could not be read.";
    TooDeep BAD_REQUEST "too_deep" "The JSON is nested too deeply.";
    BodyIncomplete BAD_REQUEST "body_incomplete" "The request ended before it was complete.";
    Empty BAD_REQUEST "empty" "The form is empty.";
    MissingField BAD_REQUEST "missing_field" "A required field is missing.";
    BadHttp BAD_REQUEST "bad_http" "This is no HTTP/1 request.";
    HeaderTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "header_too_large" "The request's header is too large.";
    RateAddress TOO_MANY_REQUESTS "rate_address" "Too many requests from your network; please try again in a moment.";
    RateForm TOO_MANY_REQUESTS "rate_form" "This form is very busy; please try again in a moment.";
    RateSite TOO_MANY_REQUESTS "rate_site" "This site is very busy; please try again in a moment.";
    RateGlobal TOO_MANY_REQUESTS "rate_global" "We are very busy; please try again in a moment.";
    PostbackIncomplete BAD_REQUEST "postback_incomplete" "The postback lacks a parameter that it must have.";
    MacroUnexpanded BAD_REQUEST "macro_unexpanded" "A parameter still holds the template's macro.";
    SecretWrong FORBIDDEN "secret_wrong" "The secret is missing or wrong.";
    SignatureWrong FORBIDDEN "signature_wrong" "The signature is missing or wrong.";
    SignatureOld FORBIDDEN "signature_old" "The signature is too old, or a clock is wrong.";
    AddressNotListed FORBIDDEN "address_not_listed" "This address may not send here.";
    KeyWrong UNAUTHORIZED "key_wrong" "The API key is missing or wrong.";
    KeyRole FORBIDDEN "key_role" "This key or user may not do that.";
    KeySite FORBIDDEN "key_site" "This key is not for that site.";
    RateKey TOO_MANY_REQUESTS "rate_key" "This key has sent too much; please try again in a moment.";
    TooManyEvents PAYLOAD_TOO_LARGE "too_many_events" "Too many events at once; send them in smaller batches.";
    UnknownField BAD_REQUEST "unknown_field" "An event has no such member.";
    BadValue BAD_REQUEST "bad_value" "This value can't be read or is not registered.";
    IdempotencyKeyBad BAD_REQUEST "idempotency_key_bad" "An Idempotency-Key has 1 to 255 visible ASCII characters.";
    IdempotencyBusy CONFLICT "idempotency_busy" "The same request is being worked on; please try again in a moment.";
    IdempotencyConflict UNPROCESSABLE_ENTITY "idempotency_conflict" "This Idempotency-Key came with other events before.";
    LogFull SERVICE_UNAVAILABLE "log_full" "This could not be saved; please send it again in a moment.";
    LogSlow SERVICE_UNAVAILABLE "log_slow" "Saving took too long; please send it again in a moment.";
    Overloaded SERVICE_UNAVAILABLE "overloaded" "We are very busy; please send it again in a moment.";
}

impl Refusal {
    /// What is said to a form that is over this limit.
    pub fn of_limit(policy: limits::Policy) -> Self {
        match policy {
            limits::Policy::Global => Self::RateGlobal,
            limits::Policy::Site => Self::RateSite,
            limits::Policy::Address => Self::RateAddress,
            limits::Policy::Form => Self::RateForm,
        }
    }

    /// The place in [`Refusal::ALL`]: metrics are looked up by it.
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_reason_code_is_unique_and_documented_with_its_status() {
        let codes: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        let documentation = include_str!("mod.rs");
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(refusal.index(), index);
            let row = format!("//! | {} | `{}` | ", refusal.status().as_u16(), refusal.code());
            assert!(documentation.contains(&row), "no row {row}");
        }
        assert_eq!(
            documentation.matches("\n//! | ").count(),
            Refusal::ALL.len() + 1,
            "rows and head"
        );
    }
}
