//! Flags: what was odd about an event, in closed words.
//!
//! In: bits set while a request is checked. Out: the words of [`crate::event::Event::flags`]. Promises: a flag is never a value.

/// Declares the flags: constant, word, what it says.
macro_rules! flags {
    ($($name:ident $word:literal $says:literal;)*) => {
        /// One oddity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Flag { $(#[doc = $says] $name),* }

        const WORDS: &[&str] = &[$($word),*];
    };
}

flags! {
    OverLimit "over_limit" "The network, the site or everybody together was over the limit; recorded all the same.";
    ClickIdNotOurs "click_id_not_ours" "A click id was given that our keys did not sign.";
    OriginForeign "origin_foreign" "The `Origin` header names a page that is not the site's.";
    ReturnUrlRefused "return_url_refused" "A return URL led elsewhere and was not followed.";
    InvalidUtf8 "invalid_utf8" "Bytes that are no UTF-8 were replaced.";
    FileSkipped "file_skipped" "A file came with the form and was not kept.";
    FieldUnnamed "field_unnamed" "A part came without a name; kept under an empty one.";
    PersonalInUrl "personal_in_url" "A URL held something like an e-mail address or a secret; it was left out.";
    Cut "cut" "A value was longer than its column takes; the rest was left out.";
    AmountUnreadable "amount_unreadable" "The amount is no plain number; none is kept.";
    AmountOfOffer "amount_of_offer" "The amount is the offer's own, not the browser's.";
    CurrencyUnreadable "currency_unreadable" "The currency is not three letters; none is kept.";
    PriceUnreadable "price_unreadable" "The price shown is no plain number; none is kept.";
    Honeypot "honeypot" "A field that people do not see was filled, by the form's own dialect.";
    TextRepeated "text_repeated" "The same message came more than `spam.repeats_per_hour` times.";
    ManyPosts "many_posts" "The network sent more than `spam.posts_per_minute` forms.";
    RenderedFast "rendered_too_fast" "The form was sent sooner after it was rendered than a person can fill it in.";
    RenderedLate "rendered_too_late" "The form was rendered longer ago than `spam.rendered_max_hours`.";
    RenderedForged "rendered_forged" "The time of rendering is not one that our keys signed for this form.";
    RenderedMissing "rendered_missing" "The form asks for a signed time of rendering, and none came.";
    Fallback "fallback" "The link is retired or expired; the visitor went to its fallback.";
    DeepLinkRefused "deep_link_refused" "A deep link leads to none of the offer's hosts; the visitor went to the offer's own destination.";
    CapReached "cap_reached" "The offer's or the affiliate's cap of clicks is reached; the visitor went to the fallback.";
    CountryNotAllowed "country_not_allowed" "The offer is not for the visitor's country; the visitor went to the fallback.";
    CountryUnknown "country_unknown" "The offer is for some countries and the visitor's is unknown; the visitor went to the fallback.";
    OneClick "one_click" "A mail program unsubscribed its reader by one click (RFC 8058).";
    GoalMissing "goal_missing" "A conversion without a goal and without an amount.";
    RequiredMissing "required_missing" "A field is empty that the form's own system would have insisted on.";
    MacroUnexpanded "macro_unexpanded" "A parameter still holds the template's macro or placeholder; read as absent.";
    ValueIsAList "value_is_a_list" "A whole list of words or currencies was pasted where one belongs.";
    RepeatedParameter "repeated_parameter" "A postback's parameter came twice with different values; money is then not read.";
    PersonalInParameters "personal_data_in_parameters" "A postback brought an e-mail address, telephone number or name; it was left out.";
    StatusUnknown "status_unknown" "A network's word for a status that its profile doesn't know; taken for pending.";
    Unauthenticated "unauthenticated" "A postback without a secret or signature; it can't say more than pending.";
    TransactionMissing "transaction_missing" "A postback without a transaction id; its click and goal stand for it.";
    AmountTooFine "amount_too_fine" "The amount has more digits than four decimal places; kept as text.";
    AmountOverCeiling "amount_over_ceiling" "The amount is above the offer's ceiling.";
    ItemsUnreadable "items_unreadable" "The lines of an order don't fit together; none is kept.";
    ClickIdForged "click_id_forged" "A click id looks like one of ours and its signature is wrong.";
    ClickExpired "click_expired" "The click is older than the offer's window.";
    ClickOfOtherOffer "click_of_other_offer" "The click id is of another offer than the postback's.";
    ConversionTooSoon "conversion_too_soon" "The conversion came sooner after its click than `fraud.soon_ms`.";
    ClickEmbedded "click_embedded" "An affiliate's link was loaded as an image, a frame or the like, not followed (Sec-Fetch-Dest).";
    ClickNotActivated "click_not_activated" "An affiliate's link was opened by a page, not by a person's act (Sec-Fetch-User).";
    OfferUnknown "offer_unknown" "A network's offer id that sites.toml maps to none of ours.";
    ParameterMisspelt "parameter_misspelt" "A postback's parameter that its profile doesn't know is one slip from one that is missing.";
    AmountUnmapped "amount_unmapped" "A postback has no amount, and a number in a parameter that its profile doesn't know and that is called like one.";
    SentAgain "sent_again" "A shop sent a request again whose first time may have been cut off; the consumer looks whether the event is stored.";
    TimeUnreadable "time_unreadable" "The time of a conversion can't be read; it is the time of receipt.";
}

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flag {
    /// The word that stands for it in an event.
    pub fn word(self) -> &'static str {
        WORDS[self as usize]
    }
}

impl Flags {
    /// Adds one.
    pub fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u64;
    }

    /// True when it was added.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u64) != 0
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// These and those of `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words, in the order of declaration.
    pub fn words(self) -> Vec<String> {
        if self.0 == 0 {
            return Vec::new();
        }
        WORDS
            .iter()
            .enumerate()
            .filter(|(index, _)| self.0 & (1 << index) != 0)
            .map(|(_, word)| (*word).to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_its_own_word_and_fits() {
        assert!(WORDS.len() <= 64);
        let mut flags = Flags::default();
        assert!(flags.words().is_empty());
        flags.set(Flag::GoalMissing);
        flags.set(Flag::OverLimit);
        assert_eq!(flags.words(), ["over_limit", "goal_missing"]);
        let unique: std::collections::HashSet<_> = WORDS.iter().collect();
        assert_eq!(unique.len(), WORDS.len());
    }
}
