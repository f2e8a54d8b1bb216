//! What is sent. In: `click=30,form=8`. Out: the kind of each request, by weight and by its number.
//! Refuses unknown kinds, weights that are no numbers, kinds named twice and a mix of nothing.

use std::fmt;
use std::str::FromStr;

use crate::dice::Dice;

/// One kind of request to the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// `GET /c/{link}`: a registered link, answered by a redirect.
    Click,
    /// `GET /a/{affiliate}/{offer}`: an affiliate click, answered by a redirect.
    Affiliate,
    /// `GET /i.gif`: an ad was seen.
    Impression,
    /// `GET /o/{token}.gif`: a mail was opened.
    Open,
    /// `GET /x.gif`: a conversion pixel.
    Pixel,
    /// `GET /postback/{name}`: a network reports a conversion.
    Postback,
    /// `POST /f/{form}` as a browser without script sends it.
    Form,
    /// `POST /f/{form}` as `multipart/form-data`.
    Multipart,
    /// `POST /f/{form}` as JSON, with a JSON answer.
    Json,
}

impl Kind {
    /// All kinds, in the order of the tables that are printed.
    pub const ALL: [Self; 9] = [
        Self::Click,
        Self::Affiliate,
        Self::Impression,
        Self::Open,
        Self::Pixel,
        Self::Postback,
        Self::Form,
        Self::Multipart,
        Self::Json,
    ];

    /// The name in options, tables and receipts files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Affiliate => "affiliate",
            Self::Impression => "impression",
            Self::Open => "open",
            Self::Pixel => "pixel",
            Self::Postback => "postback",
            Self::Form => "form",
            Self::Multipart => "multipart",
            Self::Json => "json",
        }
    }

    /// Whether an answer without a receipt is within the contract: a redirect goes after 20 ms even
    /// when its event is not yet known to be durable. Every other kind waits.
    pub fn may_be_unconfirmed(self) -> bool {
        matches!(self, Self::Click | Self::Affiliate)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Why a mix or a kind cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MixError {
    /// Not one of [`Kind::ALL`].
    #[error(
        "unknown kind '{0}'; the kinds are click, affiliate, impression, open, pixel, postback, form, multipart, json"
    )]
    UnknownKind(String),
    /// Not of the form `kind=weight`.
    #[error("'{0}' is no kind=weight with a whole number; write for example click=30,form=8")]
    BadWeight(String),
    /// The same kind twice.
    #[error("{0} is named twice; name each kind once")]
    Twice(Kind),
    /// No kind with a weight above 0.
    #[error("the mix is empty; give at least one kind a weight above 0")]
    Empty,
}

impl FromStr for Kind {
    type Err = MixError;

    fn from_str(name: &str) -> Result<Self, MixError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| MixError::UnknownKind(name.to_owned()))
    }
}

/// Kinds by weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Kind, u32)>,
    total: u64,
}

impl Mix {
    /// Nothing but one kind.
    pub fn only(kind: Kind) -> Self {
        Self { weights: vec![(kind, 1)], total: 1 }
    }

    fn new(weights: Vec<(Kind, u32)>) -> Result<Self, MixError> {
        let total = weights.iter().map(|&(_, weight)| u64::from(weight)).sum();
        if total == 0 { Err(MixError::Empty) } else { Ok(Self { weights, total }) }
    }

    /// The mix without `kind`.
    pub fn without(&self, kind: Kind) -> Result<Self, MixError> {
        Self::new(self.weights.iter().copied().filter(|&(other, _)| other != kind).collect())
    }

    /// Whether `kind` is ever sent.
    pub fn has(&self, kind: Kind) -> bool {
        self.weights.iter().any(|&(other, weight)| other == kind && weight > 0)
    }

    /// The kind that `dice` throws.
    pub fn throw(&self, dice: &mut Dice) -> Kind {
        let mut rest = dice.below(self.total);
        for &(kind, weight) in &self.weights {
            match rest.checked_sub(u64::from(weight)) {
                None => return kind,
                Some(less) => rest = less,
            }
        }
        unreachable!("the throw is below the sum of the weights")
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let bad = || MixError::BadWeight(part.to_owned());
            let (name, weight) = part.split_once('=').ok_or_else(bad)?;
            let kind: Kind = name.trim().parse()?;
            if weights.iter().any(|&(other, _)| other == kind) {
                return Err(MixError::Twice(kind));
            }
            weights.push((kind, weight.trim().parse().map_err(|_| bad())?));
        }
        Self::new(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_throws_each_kind_by_its_weight() {
        let mix: Mix = "click=30,form=10, json=0".parse().unwrap();
        let thrown: Vec<Kind> =
            (0..40_000).map(|number| mix.throw(&mut Dice::of(1, number))).collect();
        let clicks = thrown.iter().filter(|&&kind| kind == Kind::Click).count();
        assert!((29_500..30_500).contains(&clicks), "{clicks}");
        assert!(thrown.iter().all(|&kind| kind == Kind::Click || kind == Kind::Form));
        assert!(mix.has(Kind::Form) && !mix.has(Kind::Json));
    }

    #[test]
    fn a_wrong_mix_says_what_is_wrong() {
        assert_eq!("klick=1".parse::<Mix>(), Err(MixError::UnknownKind("klick".into())));
        assert_eq!("click".parse::<Mix>(), Err(MixError::BadWeight("click".into())));
        assert_eq!("click=-1".parse::<Mix>(), Err(MixError::BadWeight("click=-1".into())));
        assert_eq!("click=1,click=2".parse::<Mix>(), Err(MixError::Twice(Kind::Click)));
        assert_eq!("click=0".parse::<Mix>(), Err(MixError::Empty));
        assert_eq!(Mix::only(Kind::Open).without(Kind::Open), Err(MixError::Empty));
    }

    #[test]
    fn every_kind_reads_its_own_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }
}
