//! Mail: one plain text for each lead, by SMTP.
//!
//! In: a lead. Out: an [`Outcome`]. Refuses: addresses that are none, unencrypted SMTP to another machine. Promises: what a visitor typed
//! stands in the body alone, but for the address to reply to, which is put there only when it is one; so no header can be injected. Each
//! attempt has the same `Message-ID`, by which a second copy is known.

use std::time::Duration;

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Encryption, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use serde::Deserialize;

use crate::deliver::lead::Lead;
use crate::deliver::outcome::{Outcome, Reason};
use crate::personal::Email;

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// From the first byte; port 465.
    #[default]
    Implicit,
    /// After STARTTLS, which must succeed; port 587.
    Starttls,
    /// Not at all; only to this machine.
    None,
}

impl Tls {
    fn usual_port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// Somebody to write to.
pub struct Mailer {
    host: String,
    port: u16,
    tls: Tls,
    from: Mailbox,
    to: Vec<Mailbox>,
    login: Option<Credentials>,
    authority: Option<Certificate>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mailer").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Port 0 means the usual one.
    pub fn new(host: &str, port: u16, tls: Tls, from: &str, to: &[String]) -> Result<Self, String> {
        let mailbox = |key: &str, text: &str| {
            let found = text.parse::<Mailbox>().ok().filter(|_| !text.contains(char::is_control));
            found.ok_or_else(|| format!("{key}: `{}` is no address", text.escape_debug()))
        };
        let from = mailbox("from", from)?;
        let to = to.iter().map(|text| mailbox("to", text)).collect::<Result<_, _>>()?;
        if tls == Tls::None && !is_this_machine(host) {
            return Err(format!(
                "tls is `none` and `{host}` another machine: leads would travel in the clear; use implicit or starttls"
            ));
        }
        // Checked now, so that a host that is no name is told at the start.
        parameters(host, None).map_err(|reason| format!("host `{host}`: {reason}"))?;
        let port = if port == 0 { tls.usual_port() } else { port };
        Ok(Self { host: host.to_owned(), port, tls, from, to, login: None, authority: None })
    }

    /// With user and password.
    pub fn with_login(mut self, user: String, password: String) -> Self {
        self.login = Some(Credentials::new(user, password));
        self
    }

    /// Trusts the authority of this PEM besides the public ones.
    pub fn with_authority(mut self, pem: &[u8]) -> Result<Self, String> {
        let authority =
            Certificate::from_pem(pem).map_err(|_| "ca_file holds no certificate".to_owned())?;
        self.authority = Some(authority);
        Ok(self)
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// One attempt.
    pub async fn send(&self, lead: &Lead, id: &str, timeout: Duration) -> Outcome {
        let Some(message) = self.message(lead, id) else {
            return Outcome::failed(Reason::Unwritable);
        };
        let Ok(parameters) = parameters(&self.host, self.authority.clone()) else {
            return Outcome::failed(Reason::Tls);
        };
        let encryption = match self.tls {
            Tls::Implicit => Encryption::Wrapper(parameters),
            Tls::Starttls => Encryption::Required(parameters),
            Tls::None => Encryption::None,
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.as_str())
                .port(self.port)
                .tls(encryption)
                .timeout(Some(timeout))
                .hello_name(ClientId::Domain(self.from.email.domain().to_owned()));
        if let Some(login) = &self.login {
            transport = transport.credentials(login.clone());
        }
        match tokio::time::timeout(timeout, transport.build().send(message)).await {
            Ok(Ok(response)) => Outcome::Delivered { status: response.code().into() },
            Ok(Err(error)) => outcome(&error),
            Err(_) => Outcome::failed(Reason::Timeout),
        }
    }

    fn message(&self, lead: &Lead, id: &str) -> Option<Message> {
        let (site, form) = lead.origin();
        let mut message = Message::builder()
            .from(self.from.clone())
            // Names of a registry: of a-z A-Z 0-9 - _ . alone.
            .subject(format!("New {}: {form} on {site}", lead.kind_words()))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            message = message.to(to.clone());
        }
        if let Some(address) = reply_address(lead.email()) {
            message = message.reply_to(Mailbox::new(None, address));
        }
        let mut message = message.body(lead.to_text()).ok()?;
        for (name, value) in
            [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")]
        {
            let name = HeaderName::new_from_ascii_str(name);
            message.headers_mut().insert_raw(HeaderValue::new(name, value.to_owned()));
        }
        Some(message)
    }
}

/// The visitor's address, if it is one that can be written to.
fn reply_address(typed: &str) -> Option<Address> {
    let typed = typed.trim();
    let plain = typed.chars().all(|character| character.is_ascii_graphic());
    let is_one = plain && !Email::new(typed).normalised().is_empty();
    is_one.then(|| typed.parse().ok()).flatten()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn parameters(host: &str, authority: Option<Certificate>) -> Result<TlsParameters, &'static str> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(authority) = authority {
        builder = builder.add_root_certificate(authority);
    }
    builder.build_rustls().map_err(|_| "no name or address of a server")
}

fn outcome(error: &lettre::transport::smtp::Error) -> Outcome {
    let status: u16 = error.status().map_or(0, Into::into);
    let reason = match status {
        530 | 534 | 535 | 538 => Reason::Login,
        500..=599 => Reason::Refused,
        400..=499 => Reason::Busy,
        _ if error.is_timeout() => Reason::Timeout,
        _ if error.is_tls() => Reason::Tls,
        _ if error.is_client() => Reason::Broken,
        _ => Reason::Unreachable,
    };
    Outcome::Failed { reason, status, wait_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::lead::tests::sample;

    fn mailer() -> Mailer {
        Mailer::new("localhost", 0, Tls::None, "Leads <l@shop.example>", &["s@shop.example".into()])
            .unwrap()
    }

    #[test]
    fn what_was_typed_stands_in_the_body_alone() {
        let message = mailer().message(&sample(), "msg_1").unwrap().formatted();
        let text = String::from_utf8(message).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: Leads <l@shop.example>",
            "To: s@shop.example",
            "Subject: New lead: contact on shop",
            "Message-ID: <msg_1@shop.example>",
            "Reply-To: jane@shop.example",
            "Auto-Submitted: auto-generated",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert!(head.lines().any(|found| found == line), "{line} in\n{head}");
        }
        assert!(!head.contains("Bcc") && !head.contains("Jane"), "{head}");
    }

    #[test]
    fn only_an_address_is_replied_to() {
        for typed in [
            "jane@shop.example\r\nBcc: all@evil.example",
            "jane@shop.example, all@evil.example",
            "Jane <jane@shop.example>",
            "jane@shop.example>\n",
            "none",
            "",
            "jane@shop.example\u{202e}",
            "a b@shop.example",
        ] {
            assert!(
                reply_address(typed).is_none_or(|address| address.to_string() == typed.trim()),
                "{typed:?}"
            );
            assert!(
                !reply_address(typed).is_some_and(|address| address
                    .to_string()
                    .contains([' ', '\r', '\n', '>', ',']))
            );
        }
        assert_eq!(reply_address(" jane@shop.example ").unwrap().to_string(), "jane@shop.example");
    }
}
