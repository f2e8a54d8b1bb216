//! The built-in profiles: the files of `config/dialects/postbacks`, by name. Promises: a test holds the list to the folder.

macro_rules! files {
    ($($name:literal)*) => {
        /// Name and text.
        pub const FILES: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../config/dialects/postbacks/", $name, ".toml")),
        )),*];
    };
}

files! {
    "adcell"
    "adcombo"
    "adgate"
    "admitad"
    "affise"
    "awin"
    "ayet"
    "bemob"
    "binom"
    "bitlabs"
    "cake"
    "cj"
    "clickbank"
    "clickflare"
    "cpx"
    "digistore24"
    "drcash"
    "dub"
    "everad"
    "everflow"
    "firstpromoter"
    "generic"
    "groovast"
    "hmac_body"
    "igaming"
    "impact"
    "jvzoo"
    "keitaro"
    "kma"
    "leadbit"
    "leadrock"
    "lootably"
    "m1shop"
    "maxbounty"
    "outbrain"
    "partnerize"
    "peerclick"
    "post_affiliate_pro"
    "propel_media"
    "propellerads"
    "rakuten"
    "redtrack"
    "revtoo"
    "rollerads"
    "shakes"
    "shareasale"
    "standard_webhooks"
    "taboola"
    "tapfiliate"
    "terraleads"
    "timewall"
    "tradedoubler"
    "tradetracker"
    "trafficlight"
    "tune"
    "voluum"
    "webgains"
    "webvork"
    "zeeto"
    "zeropark"
}
