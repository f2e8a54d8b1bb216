//! What the site under test has. In: options. Out: a checked [`Site`] and [`Mix`]. Refuses names that
//! would need escaping, headers that would break a request, and opens without a token.

use std::path::{Path, PathBuf};

use crate::mix::{Kind, Mix};
use crate::options::LoadOptions;

/// What a file with tokens (or a password) may hold.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const MIX_DEFAULT: &str = "click=30,impression=36,open=10,form=8,json=6,affiliate=5,pixel=5";

/// What the site under test has, and how requests are made.
#[derive(Clone, Debug)]
pub struct Site {
    /// Value of the `Host` header.
    pub host: String,
    /// `Origin` of posts, as a browser sends it; none when `None`.
    pub origin: Option<String>,
    /// Registered links.
    pub links: Vec<String>,
    /// Registered forms.
    pub forms: Vec<String>,
    /// Ads of impressions.
    pub ads: Vec<String>,
    /// Affiliates.
    pub affiliates: Vec<String>,
    /// The offer of affiliate clicks.
    pub offer: String,
    /// The name of a postback that speaks as Keitaro does, and behind a slash its secret, if it has one.
    pub postback: String,
    /// Signed tokens of mails; needed for [`Kind::Open`] only.
    pub open_tokens: Vec<String>,
    /// More form fields, sent with every form.
    pub fields: Vec<(String, String)>,
    /// How many source addresses there are; 0 sends no `X-Forwarded-For`.
    pub addresses: u32,
    /// Share of forms and pixels that name an earlier click, 0..=1.
    pub join_share: f64,
}

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A file with tokens or a password.
    #[error("the file {0} cannot be read")]
    File(PathBuf, #[source] std::io::Error),
    /// Too large to be what it should.
    #[error("the file {0} is larger than {FILE_BYTES_MAX} bytes")]
    FileTooLarge(PathBuf),
    /// A name that would break the request line. Not shown: tokens are nobody else's business.
    #[error("a value of --{0} is empty or has other characters than letters, digits and -_.~")]
    Name(&'static str),
    /// A header that would break the request.
    #[error("--{0} holds a space or a control character")]
    Header(&'static str),
    /// No token for opens.
    #[error("the mix has opens, but there is no token; give --open-token or leave open out")]
    NoOpenToken,
    /// Nothing left to send.
    #[error(transparent)]
    Mix(#[from] crate::mix::MixError),
}

impl LoadOptions {
    /// What is asked for.
    ///
    /// # Errors
    /// When a name would not survive in a URL, or a token file cannot be read.
    pub fn site(&self) -> Result<Site, SiteError> {
        let mut open_tokens = self.open_tokens.clone();
        if let Some(path) = &self.open_tokens_file {
            open_tokens.extend(read_small(path)?.split_whitespace().map(str::to_owned));
        }
        let named = [
            ("link", &self.links),
            ("form", &self.forms),
            ("ad", &self.ads),
            ("affiliate", &self.affiliates),
            ("offer", &vec![self.offer.clone()]),
            ("postback", &self.postback.split('/').map(str::to_owned).collect()),
            ("open-token", &open_tokens),
        ];
        for (option, value) in
            named.into_iter().flat_map(|(option, all)| all.iter().map(move |one| (option, one)))
        {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            if value.is_empty() || !value.bytes().all(plain) {
                return Err(SiteError::Name(option));
            }
        }
        for (option, value) in [("host", &self.host), ("origin", &self.origin)] {
            if value.as_deref().is_some_and(|value| !value.bytes().all(|b| b.is_ascii_graphic())) {
                return Err(SiteError::Header(option));
            }
        }
        Ok(Site {
            host: self.host.clone().unwrap_or_else(|| self.target.host.clone()),
            origin: self.origin.clone(),
            links: self.links.clone(),
            forms: self.forms.clone(),
            ads: self.ads.clone(),
            affiliates: self.affiliates.clone(),
            offer: self.offer.clone(),
            postback: self.postback.clone(),
            open_tokens,
            fields: self.fields.clone(),
            addresses: self.addresses,
            join_share: self.join_share,
        })
    }
}

/// The mix that was asked for; of the default one, opens are left out when `site` has no token.
///
/// # Errors
/// When opens were asked for by name and there is no token.
pub fn mix_for(asked: Option<&Mix>, site: &Site) -> Result<Mix, SiteError> {
    let mix = match asked {
        Some(mix) => mix.clone(),
        None if site.open_tokens.is_empty() => {
            eprintln!("no --open-token: the mix is sent without opens");
            MIX_DEFAULT.parse::<Mix>()?.without(Kind::Open)?
        }
        None => MIX_DEFAULT.parse()?,
    };
    if mix.has(Kind::Open) && site.open_tokens.is_empty() {
        return Err(SiteError::NoOpenToken);
    }
    Ok(mix)
}

/// Reads a file that is small by nature.
///
/// # Errors
/// When it cannot be read, or is not small.
pub fn read_small(path: &Path) -> Result<String, SiteError> {
    let failed = |error| SiteError::File(path.to_owned(), error);
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(SiteError::FileTooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::options::{Command, Options, RunOptions};
    use clap::Parser as _;

    /// A site with two of everything.
    pub fn site() -> Site {
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        Site {
            host: "127.0.0.1:8080".into(),
            origin: None,
            links: names(["summer-ad", "winter-ad"]),
            forms: names(["contact", "quote"]),
            ads: names(["banner", "tower"]),
            affiliates: names(["blogger", "forum"]),
            offer: "spring".into(),
            postback: "network".into(),
            open_tokens: names(["t1", "t2"]),
            fields: vec![],
            addresses: 1000,
            join_share: 0.5,
        }
    }

    fn run(words: &[&str]) -> RunOptions {
        match Options::parse_from([&["leadtrail-load", "run"], words].concat()).command {
            Command::Run(options) => options,
            _ => panic!("not run"),
        }
    }

    #[test]
    fn the_default_mix_has_opens_only_with_tokens() {
        let mix = |words: &[&str]| {
            let options = run(words);
            mix_for(options.mix.as_ref(), &options.load.site().unwrap())
        };
        assert!(!mix(&[]).unwrap().has(Kind::Open));
        assert!(mix(&["--open-token", "abc"]).unwrap().has(Kind::Open));
        assert!(matches!(mix(&["--mix", "open=1"]), Err(SiteError::NoOpenToken)));
    }

    #[test]
    fn names_and_headers_that_would_break_a_request_are_refused() {
        for words in
            [["--link", "a b"], ["--offer", ""], ["--open-token", "a/b"], ["--host", "a b"]]
        {
            assert!(run(&words).load.site().is_err(), "{words:?}");
        }
    }
}
