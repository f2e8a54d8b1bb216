//! The stretch of time that a question asks about.
//!
//! In: a preset's name or two dates, a zone's name, and the time now. Out: a [`Period`], two instants and the words that name
//! them. Refuses: an unknown preset or zone (with the nearest one), a date that is none, an end before its beginning.
//! Promises: days begin and end in the zone that was asked for, so that a day of 23 hours is one day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::question::BadQuestion;
use crate::event::CLAIM_FUTURE_MAX_MS;

/// The presets, in the order in which pages show them.
pub const PRESETS: [Preset; 7] = [
    Preset::Today,
    Preset::Hours24,
    Preset::Days7,
    Preset::Days30,
    Preset::Days90,
    Preset::Month,
    Preset::All,
];

/// The first year that a date may name. The facts' tables refuse what is older (deploy/schema).
const YEAR_MIN: i16 = 2000;

/// The last year that a date may name, from the same place.
const YEAR_MAX: i16 = 2199;

/// A named stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Since midnight.
    Today,
    /// The last 24 hours, to the minute.
    Hours24,
    /// Today and the six days before it.
    Days7,
    /// Today and the 29 days before it.
    #[default]
    Days30,
    /// Today and the 89 days before it.
    Days90,
    /// Since the first of this month.
    Month,
    /// Everything there is.
    All,
}

impl Preset {
    /// As it is typed and as it stands in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
            Self::Days30 => "30d",
            Self::Days90 => "90d",
            Self::Month => "month",
            Self::All => "all",
        }
    }

    /// As a person says it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Hours24 => "the last 24 hours",
            Self::Days7 => "the last 7 days",
            Self::Days30 => "the last 30 days",
            Self::Days90 => "the last 90 days",
            Self::Month => "this month",
            Self::All => "all time",
        }
    }

    fn parse(text: &str) -> Result<Self, BadQuestion> {
        PRESETS.into_iter().find(|preset| preset.name() == text).ok_or_else(|| {
            // `30days` means `30d`, although `today` has as many letters in common.
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            let same = |preset: &&Preset| digits(preset.name()) == digits(text);
            let names = PRESETS.iter().filter(same).map(|preset| preset.name());
            let all = PRESETS.iter().map(|preset| preset.name());
            let near: Vec<&str> =
                if names.clone().next().is_some() { names.collect() } else { all.collect() };
            BadQuestion::unknown("period", text, near.into_iter())
        })
    }
}

/// From an instant up to another, and how to say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
    /// Whose days these are, and in which times are shown.
    pub zone: TimeZone,
    /// The preset, unless dates were given.
    pub preset: Option<Preset>,
}

impl Period {
    /// Reads what was typed. Empty text means «not given»; without anything it is the default preset in UTC.
    pub fn parse(
        preset: &str,
        from: &str,
        to: &str,
        zone: &str,
        now: Timestamp,
    ) -> Result<Self, BadQuestion> {
        let zone = parse_zone(zone)?;
        if from.is_empty() && to.is_empty() {
            let preset = if preset.is_empty() { Preset::default() } else { Preset::parse(preset)? };
            return Ok(Self::of_preset(preset, zone, now));
        }
        if !preset.is_empty() {
            let what = "give a period or dates, not both".to_owned();
            return Err(BadQuestion { what, nearest: vec![("period", String::new())] });
        }
        let today = now.to_zoned(zone.clone()).date();
        if from.is_empty() {
            let last = parse_date("to", to, today)?;
            let what = "`to` needs a `from`".to_owned();
            return Err(BadQuestion {
                what,
                nearest: vec![("from", last.first_of_month().to_string())],
            });
        }
        let first = parse_date("from", from, today)?;
        let last = if to.is_empty() { today } else { parse_date("to", to, today)? };
        if first > last {
            let what = format!("the period ends ({last}) before it begins ({first})");
            let nearest = vec![("from", last.to_string()), ("to", first.to_string())];
            return Err(BadQuestion { what, nearest });
        }
        let end = last.tomorrow().expect("years end at 2199 here and at 9999 in jiff");
        Ok(Self { from: midnight(first, &zone), to: midnight(end, &zone), zone, preset: None })
    }

    /// The preset as seen from `now`. What ends «now» ends at the next midnight: an event's own clock may run ahead.
    pub fn of_preset(preset: Preset, zone: TimeZone, now: Timestamp) -> Self {
        let here = now.to_zoned(zone.clone());
        let today = here.date();
        let end = midnight(today.tomorrow().expect("now is not the year 9999"), &zone);
        let days_back = |days: i32| midnight(today.saturating_sub(days.days()), &zone);
        let (from, to) = match preset {
            Preset::Today => (midnight(today, &zone), end),
            Preset::Hours24 => last_24_hours(&here),
            Preset::Days7 => (days_back(6), end),
            Preset::Days30 => (days_back(29), end),
            Preset::Days90 => (days_back(89), end),
            Preset::Month => (midnight(today.first_of_month(), &zone), end),
            Preset::All => (midnight(Date::constant(YEAR_MIN, 1, 1), &zone), end),
        };
        Self { from, to, zone, preset: Some(preset) }
    }

    /// `2026-10-24 to 2026-11-22`, days inclusive, or with times where it isn't whole days.
    pub fn dates(&self) -> String {
        if self.preset == Some(Preset::All) {
            return "everything".to_owned();
        }
        let (from, to) = (self.local(self.from), self.local(self.to));
        let whole_days = midnight(from.date(), &self.zone) == self.from
            && midnight(to.date(), &self.zone) == self.to;
        if !whole_days {
            return format!("{} to {}", from.strftime("%F %H:%M"), to.strftime("%F %H:%M"));
        }
        let last = to.date().yesterday().expect("a period ends after the year 2000");
        if last == from.date() { last.to_string() } else { format!("{} to {last}", from.date()) }
    }

    /// The zone's name; `UTC` where it has none.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// An instant on the zone's clock.
    pub fn local(&self, instant: Timestamp) -> Zoned {
        instant.to_zoned(self.zone.clone())
    }
}

/// To the minute, so that pages asked for within one minute agree; up to where the fastest clock may be (DESIGN.md).
fn last_24_hours(now: &Zoned) -> (Timestamp, Timestamp) {
    let minute = now.timestamp().as_second().div_euclid(60) * 60;
    let at = |second: i64| Timestamp::from_second(second).unwrap_or(now.timestamp());
    (at(minute - 24 * 3_600), at(minute + 60 + CLAIM_FUTURE_MAX_MS / 1_000))
}

/// The day's first instant in the zone; where clocks skip midnight it is the first one that exists.
fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |start| start.timestamp())
}

fn parse_zone(text: &str) -> Result<TimeZone, BadQuestion> {
    if text.is_empty() || text.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(text).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        BadQuestion::unknown("zone", text, names.iter().map(String::as_str))
    })
}

fn parse_date(key: &'static str, text: &str, today: Date) -> Result<Date, BadQuestion> {
    // jiff reads more spellings than are promised here; the plain one is ten characters.
    let date = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
    date.filter(|date| (YEAR_MIN..=YEAR_MAX).contains(&date.year())).ok_or_else(|| BadQuestion {
        what: format!(
            "`{key}` must be a day like 2026-11-22, of the years {YEAR_MIN} to {YEAR_MAX}"
        ),
        nearest: vec![(key, today.to_string())],
    })
}
