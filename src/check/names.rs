//! Names: what a parameter or field is called, and what that means to us.
//!
//! In: a name from a query or form, in any case. Out: a [`Name`]. Promises: one search in one sorted table, for this runs for every
//! parameter of every request.

/// The parameter that carries our own click id.
pub const CLICK_ID: &str = "lt";

/// A campaign value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the parameters' own")]
pub enum Utm {
    Source,
    Medium,
    Campaign,
    Term,
    Content,
}

impl Utm {
    /// The parameter's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "utm_source",
            Self::Medium => "utm_medium",
            Self::Campaign => "utm_campaign",
            Self::Term => "utm_term",
            Self::Content => "utm_content",
        }
    }
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Our click id.
    ClickId,
    /// A campaign value.
    Utm(Utm),
    /// A click id of an ad platform or affiliate network, in its canonical spelling (DOMAIN.md 2.5): unmistakable, so a form's
    /// field of that name is one too.
    AdClickId(&'static str),
    /// A parameter of a referral or mail tool: a plain word, which counts in a URL's query only, never in a form.
    Referral(&'static str),
    /// A campaign value beyond the five, of a family that nothing else is called like: `utm_id`, `mtm_source`, `hsa_cam` (DOMAIN.md 2.6).
    Tag(&'static str),
    /// What ad platforms fill in under a plain word (`keyword`, `campaignid`): counts in a URL's query only.
    Word(&'static str),
    /// A sub id, as `sub1` to `sub20`.
    SubId(&'static str),
    /// It names a person (DOMAIN.md 2.1): it stays out of URLs that we make.
    Personal,
    /// Anything else.
    Other,
}

use Name::{AdClickId as Ad, Personal, Referral as Tool, SubId as Sub, Tag, Word};

/// Longer names are none of the table's.
const BYTES_MAX: usize = 24;

/// Lower case, sorted (a test sees to both).
const NAMES: &[(&str, Name)] = &[
    ("_fbc", Ad("_fbc")),
    ("_fbp", Ad("_fbp")),
    ("_hsenc", Tool("_hsenc")),
    ("_hsmi", Tool("_hsmi")),
    ("_kx", Personal),
    ("_ttp", Ad("_ttp")),
    ("ad_id", Word("ad_id")),
    ("address", Personal),
    ("address1", Personal),
    ("adgroup_id", Word("adgroup_id")),
    ("adgroupid", Word("adgroupid")),
    ("admitad_uid", Ad("admitad_uid")),
    ("adset_id", Word("adset_id")),
    ("aff", Tool("aff")),
    ("aff_sub", Sub("sub1")),
    ("aff_sub2", Sub("sub2")),
    ("aff_sub3", Sub("sub3")),
    ("aff_sub4", Sub("sub4")),
    ("aff_sub5", Sub("sub5")),
    ("awc", Ad("awc")),
    ("birthdate", Personal),
    ("birthday", Personal),
    ("bsft_aaid", Tool("bsft_aaid")),
    ("bsft_clkid", Tool("bsft_clkid")),
    ("bsft_eid", Personal),
    ("bsft_mid", Tool("bsft_mid")),
    ("bsft_uid", Personal),
    ("campaign_id", Word("campaign_id")),
    ("campaignid", Word("campaignid")),
    ("cell", Personal),
    ("cid", Word("cid")),
    ("cjevent", Ad("cjevent")),
    ("clickref", Ad("clickref")),
    ("creative", Word("creative")),
    ("creative_id", Word("creative_id")),
    ("dclid", Ad("dclid")),
    ("device", Word("device")),
    ("dicbo", Ad("dicbo")),
    ("dob", Personal),
    ("dub_id", Ad("dub_id")),
    ("e-mail", Personal),
    ("e_mail", Personal),
    ("elq", Tool("elq")),
    ("elqtrackid", Tool("elqTrackId")),
    ("email", Personal),
    ("email-address", Personal),
    ("email_address", Personal),
    ("emailaddress", Personal),
    ("epik", Ad("epik")),
    ("family-name", Personal),
    ("fax", Personal),
    ("fbclid", Ad("fbclid")),
    ("first_name", Personal),
    ("firstname", Personal),
    ("fname", Personal),
    ("fpr", Tool("fpr")),
    ("full_name", Personal),
    ("fullname", Personal),
    ("gad_campaignid", Ad("gad_campaignid")),
    ("gad_source", Ad("gad_source")),
    ("gbraid", Ad("gbraid")),
    ("gclid", Ad("gclid")),
    ("gclsrc", Ad("gclsrc")),
    ("given-name", Personal),
    ("gspk", Tool("gspk")),
    ("hsa_acc", Tag("hsa_acc")),
    ("hsa_ad", Tag("hsa_ad")),
    ("hsa_cam", Tag("hsa_cam")),
    ("hsa_grp", Tag("hsa_grp")),
    ("hsa_kw", Tag("hsa_kw")),
    ("hsa_la", Tag("hsa_la")),
    ("hsa_mt", Tag("hsa_mt")),
    ("hsa_net", Tag("hsa_net")),
    ("hsa_ol", Tag("hsa_ol")),
    ("hsa_src", Tag("hsa_src")),
    ("hsa_tgt", Tag("hsa_tgt")),
    ("hsa_ver", Tag("hsa_ver")),
    ("iban", Personal),
    ("irclickid", Ad("irclickid")),
    ("irgwc", Tool("irgwc")),
    ("keyword", Word("keyword")),
    ("ko_click_id", Ad("ko_click_id")),
    ("last_name", Personal),
    ("lastname", Personal),
    ("li_fat_id", Ad("li_fat_id")),
    ("lname", Personal),
    ("mail", Personal),
    ("matchtype", Word("matchtype")),
    ("mc_cid", Ad("mc_cid")),
    ("mc_eid", Personal),
    ("mkt_tok", Personal),
    ("mobile", Personal),
    ("mpid", Tool("mpid")),
    ("msclkid", Ad("msclkid")),
    ("mtm_campaign", Tag("mtm_campaign")),
    ("mtm_cid", Tag("mtm_cid")),
    ("mtm_content", Tag("mtm_content")),
    ("mtm_group", Tag("mtm_group")),
    ("mtm_keyword", Tag("mtm_keyword")),
    ("mtm_kwd", Tag("mtm_kwd")),
    ("mtm_medium", Tag("mtm_medium")),
    ("mtm_placement", Tag("mtm_placement")),
    ("mtm_source", Tag("mtm_source")),
    ("name", Personal),
    ("network", Word("network")),
    ("obclid", Ad("obclid")),
    ("passwd", Personal),
    ("password", Personal),
    ("phone", Personal),
    ("phone_number", Personal),
    ("phonenumber", Personal),
    ("pk_campaign", Tag("pk_campaign")),
    ("pk_cid", Tag("pk_cid")),
    ("pk_content", Tag("pk_content")),
    ("pk_group", Tag("pk_group")),
    ("pk_keyword", Tag("pk_keyword")),
    ("pk_kwd", Tag("pk_kwd")),
    ("pk_medium", Tag("pk_medium")),
    ("pk_placement", Tag("pk_placement")),
    ("pk_source", Tag("pk_source")),
    ("placement", Word("placement")),
    ("postal_code", Personal),
    ("postcode", Personal),
    ("ps_xid", Tool("ps_xid")),
    ("pwd", Personal),
    ("qclid", Ad("qclid")),
    ("ransiteid", Ad("ranSiteID")),
    ("rdt_cid", Ad("rdt_cid")),
    ("ref", Tool("ref")),
    ("rfsn", Tool("rfsn")),
    ("s_kwcid", Tag("s_kwcid")),
    ("sc_lid", Tool("sc_lid")),
    ("sc_llid", Tool("sc_llid")),
    ("sc_src", Tool("sc_src")),
    ("sc_uid", Personal),
    ("sccid", Ad("ScCid")),
    ("site_id", Word("site_id")),
    ("source", Word("source")),
    ("srsltid", Ad("srsltid")),
    ("sscid", Ad("sscid")),
    ("ssn", Personal),
    ("street", Personal),
    ("sub_id", Sub("sub1")),
    ("subid", Sub("sub1")),
    ("surname", Personal),
    ("tap_a", Tool("tap_a")),
    ("tap_s", Tool("tap_s")),
    ("targetid", Word("targetid")),
    ("tblci", Ad("tblci")),
    ("tduid", Ad("tduid")),
    ("tel", Personal),
    ("telephone", Personal),
    ("ttclid", Ad("ttclid")),
    ("twclid", Ad("twclid")),
    ("user_email", Personal),
    ("utm_campaign", Name::Utm(Utm::Campaign)),
    ("utm_content", Name::Utm(Utm::Content)),
    ("utm_creative_format", Tag("utm_creative_format")),
    ("utm_id", Tag("utm_id")),
    ("utm_marketing_tactic", Tag("utm_marketing_tactic")),
    ("utm_medium", Name::Utm(Utm::Medium)),
    ("utm_source", Name::Utm(Utm::Source)),
    ("utm_source_platform", Tag("utm_source_platform")),
    ("utm_term", Name::Utm(Utm::Term)),
    ("vero_id", Personal),
    ("via", Tool("via")),
    ("vmcid", Ad("vmcid")),
    ("wbraid", Ad("wbraid")),
    ("yclid", Ad("yclid")),
    ("ymclid", Ad("ymclid")),
    ("your-email", Personal),
    ("your-name", Personal),
    ("zip", Personal),
];

/// Sub ids by their canonical names.
pub const SUBS: [&str; 20] = [
    "sub1", "sub2", "sub3", "sub4", "sub5", "sub6", "sub7", "sub8", "sub9", "sub10", "sub11",
    "sub12", "sub13", "sub14", "sub15", "sub16", "sub17", "sub18", "sub19", "sub20",
];

impl Name {
    /// What this name means.
    pub fn of(name: &str) -> Self {
        if name == CLICK_ID {
            return Self::ClickId;
        }
        let mut lower = [0; BYTES_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else { return Self::Other };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        match NAMES.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)) {
            Ok(place) => NAMES[place].1,
            Err(_) => numbered_sub(lower).map_or(Self::Other, Self::SubId),
        }
    }
}

/// `sub3`, and Keitaro's `sub_id_3`.
fn numbered_sub(lower: &[u8]) -> Option<&'static str> {
    let digits = lower.strip_prefix(b"sub_id_").or_else(|| lower.strip_prefix(b"sub"))?;
    let number = match *digits {
        [one @ b'1'..=b'9'] => one - b'0',
        [ten @ b'1'..=b'2', one @ b'0'..=b'9'] => (ten - b'0') * 10 + (one - b'0'),
        _ => return None,
    };
    SUBS.get(usize::from(number) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_sorted_in_lower_case_and_within_the_longest_name() {
        assert!(NAMES.is_sorted_by(|left, right| left.0 < right.0));
        for (name, _) in NAMES {
            assert!(*name == name.to_lowercase() && name.len() <= BYTES_MAX, "{name}");
        }
    }

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Name::of("UTM_Source"), Name::Utm(Utm::Source));
        assert_eq!(Name::of("sccid"), Name::AdClickId("ScCid"));
        assert_eq!(Name::of("E-Mail"), Name::Personal);
        assert_eq!(Name::of("ref"), Name::Referral("ref"));
        assert_eq!((Name::of("lt"), Name::of("LT")), (Name::ClickId, Name::Other));
        assert_eq!((Name::of(""), Name::of("utm_ida")), (Name::Other, Name::Other));
        assert_eq!(Name::of("UTM_Marketing_Tactic"), Name::Tag("utm_marketing_tactic"));
        assert_eq!(Name::of("keyword"), Name::Word("keyword"));
    }

    #[test]
    fn sub_ids_are_known_by_several_names() {
        for (name, known) in [
            ("sub1", Some("sub1")),
            ("Sub20", Some("sub20")),
            ("sub21", None),
            ("sub0", None),
            ("sub01", None),
            ("sub", None),
            ("sub_id_3", Some("sub3")),
            ("subid", Some("sub1")),
            ("aff_sub5", Some("sub5")),
            ("subject", None),
            ("süb1", None),
            ("sub+1", None),
        ] {
            assert_eq!(Name::of(name), known.map_or(Name::Other, Name::SubId), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_has_a_meaning(name in ".{0,20}") {
            let _ = Name::of(&name);
        }
    }
}
