//! Where an event came from: the ad or link, the page before and after, the client.
//!
//! In: what `check` found in a request. Out: parts of the record. Refuses: members that this program doesn't know. Promises: what is
//! empty takes no room in the record.

use serde::{Deserialize, Serialize};

use super::is_false;
use crate::money::{Amount, Currency};
use crate::personal::CutAddress;

/// What the ad, mail or affiliate link stands for. Names come from the registry; the numbers are in click ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub struct Promotion {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ad: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub creative: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub placement: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mailing: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub affiliate: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub offer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub price_variant: String,
    /// The price that the visitor was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_shown: Option<Amount>,
}

/// Where the visitor came from, as the request said it. Raw: grouping copies are made in the consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub struct Origin {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utm_source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utm_medium: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utm_campaign: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utm_term: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utm_content: String,
    /// Campaign values beyond the five, by parameter: `utm_id`, `mtm_source`, `hsa_cam`, `keyword` (DOMAIN.md 2.6).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Ad click ids by parameter name (DOMAIN.md 2.5), untruncated, case kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub click_ids: Vec<(String, String)>,
    /// `sub1`..`sub20`, in the order of arrival.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub_ids: Vec<(String, String)>,
    /// Macros that nobody filled in, by the parameter that should have had a value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macros: Vec<(String, String)>,
    /// The network's own id of this click.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_click: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer_host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer_path: String,
    /// The host of the page or of the redirect's destination.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub landing_host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub landing_path: String,
}

/// An ad that was shown together with others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shown {
    /// The ad.
    pub promotion: Promotion,
    /// Currency of its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_currency: Option<Currency>,
    /// What was odd about it; `None` in records of before: as the record's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
}

/// What the client said of itself. The full address is not here: see [`crate::personal::ClientIp`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// The network, /24 or /48.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<CutAddress>,
    /// `User-Agent`, cut at 1,024 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The first language of `Accept-Language`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// `Sec-Purpose`, `Purpose`, `X-Purpose` or `X-Moz`, whichever came.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// `Sec-Fetch-Dest`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fetch_dest: String,
    /// `Sec-Fetch-Mode`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fetch_mode: String,
    /// `Sec-Fetch-Site`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fetch_site: String,
    /// `Sec-Fetch-User: ?1`: a person's act, says the browser.
    #[serde(skip_serializing_if = "is_false")]
    pub fetch_user: bool,
    /// The method, where it wasn't the usual one for the door.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// `Sec-GPC: 1`.
    #[serde(skip_serializing_if = "is_false")]
    pub gpc: bool,
}
