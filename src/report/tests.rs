//! What answers look like in each format, and what questions are refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::answer::{
    AdRow, AffiliateRow, Answer, Freshness, LeadRow, LeftOut, Rate, RefusalRow, Rows, Sum, Sums,
};
use super::question::{Asked, FraudLimits, Known, Question, ReportName};
use super::table::Personal;
use super::{export, text};
use crate::personal::{Email, PersonalText, Phone};

const FRAUD: FraudLimits = FraudLimits {
    clicks_min: 500,
    clicks_per_conversion_max: 1_000,
    address_conversions_max: 3,
    address_clicks_max: 500,
};

const NOW: &str = "2026-11-22T12:34:56Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ask(report: ReportName, asked: &Asked<'_>) -> Result<Question, String> {
    let sites = ["demo".to_owned(), "shop".to_owned()];
    let known = Known { sites: &sites, click_window_days: 30, fraud: FRAUD, now: time(NOW) };
    Question::parse(report, asked, &known).map_err(|bad| bad.to_string())
}

fn sums(pairs: &[(&str, i128)]) -> Sums {
    Sums(
        pairs
            .iter()
            .map(|(name, scaled)| ((*name).to_owned(), Sum(*scaled)))
            .collect::<BTreeMap<_, _>>(),
    )
}

fn answer(question: Question, rows: Rows, row_count: u64) -> Answer {
    let freshness = Freshness {
        newest_batch: Some(time("2026-11-22T12:34:50Z")),
        newest_event: Some(time("2026-11-22T12:34:49.5Z")),
        records_unsettled: 12,
        unsettled_since: Some(time("2026-11-22T12:34:48Z")),
    };
    let left_out = LeftOut { not_human: 4, repeats: 1 };
    Answer { question, freshness, left_out, row_count, rows }
}

fn ads() -> Answer {
    let shoes = AdRow {
        campaign: "summer".to_owned(),
        ad: "=cmd|shoes".to_owned(),
        settled: true,
        impressions: 3_000,
        click_throughs: 100,
        leads: 12,
        conversions: 7,
        amount: sums(&[("EUR", 1_598_000)]),
        pending: sums(&[("EUR", 799_000), ("USD", 105_001)]),
    };
    let none = AdRow { settled: true, click_throughs: 3, leads: 1, ..AdRow::default() };
    let unsettled = AdRow { leads: 2, ..AdRow::default() };
    let totals = AdRow {
        click_throughs: 103,
        leads: 15,
        campaign: String::new(),
        ad: String::new(),
        ..shoes.clone()
    };
    let question = ask(ReportName::Ads, &Asked { site: "demo", ..Asked::default() }).unwrap();
    answer(question, Rows::Ads(vec![shoes, none, unsettled], totals), 3)
}

fn leads() -> Answer {
    let lead = LeadRow {
        at: time("2026-11-21T23:30:00Z"),
        site: "demo".to_owned(),
        form: "contact".to_owned(),
        name: PersonalText::new("Jane \u{1b}[2JRoe"),
        email: Email::new("jane.roe@example.com"),
        phone: Phone::new("+49 170 1234567"),
        source: "newsday".to_owned(),
        page: "www.shop.example/contact".to_owned(),
        channel: "paid_search".to_owned(),
        campaign: "summer".to_owned(),
        ad: "shoes".to_owned(),
        affiliate: String::new(),
        link: "summer-ad".to_owned(),
        basis: "click_id".to_owned(),
        count: 2,
        country: "DE".to_owned(),
        verdict: "human".to_owned(),
    };
    let bare = LeadRow { basis: String::new(), email: Email::default(), ..lead.clone() };
    let asked = Asked { from: "2026-11-22", zone: "Europe/Berlin", ..Asked::default() };
    answer(ask(ReportName::Leads, &asked).unwrap(), Rows::Leads(vec![lead, bare]), 230)
}

#[test]
fn a_terminal_gets_a_header_and_aligned_columns() {
    insta::assert_snapshot!(text::render(&ads(), Personal::Masked, None), @r"
    ads, the last 30 days (2026-10-24 to 2026-11-22, UTC), site demo
    data up to 12:34:50, 12 records not settled yet, waiting since 12:34:48
    conversion rate by period: conversions divided by click-throughs of the same period
    attribution: the click that the lead or conversion names (click id), else the last one of its cookie, else of its daily hash; within 30 days unless the offer says otherwise
    pending: claimed, by a browser for example, and not confirmed; it is not in the amount
    not counted: 4 not judged human; 1 reported again (one counts per click and goal, per order, and per submission of a form)

     campaign   ad                  impressions   click-throughs   click-through rate   leads   conversions   conversion rate by period   amount EUR   pending EUR   pending USD
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     summer     =cmd|shoes                 3000              100               3.33 %      12             7                      7.00 %       159.80         79.90       10.5001
                (no ad)                       0                3                    –       1             0                      0.00 %
                (not settled yet)             0                0                    –       2             0                           –
     total                                 3000              103               3.43 %      15             7                      6.80 %       159.80         79.90       10.5001
    ");
}

#[test]
fn a_narrow_terminal_gets_narrow_columns() {
    let text = text::render(&ads(), Personal::Masked, Some(100));
    let table = text.split_once("\n\n").unwrap().1;
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn csv_has_the_same_numbers_and_no_formula() {
    insta::assert_snapshot!(export::csv(&ads(), Personal::Masked), @r"
    campaign,ad,impressions,click_throughs,click_through_rate,leads,conversions,conversion_rate,amount_EUR,pending_EUR,pending_USD,period,zone,data_up_to
    summer,'=cmd|shoes,3000,100,0.0333,12,7,0.0700,159.80,79.90,10.5001,2026-10-24 to 2026-11-22,UTC,2026-11-22 12:34:50
    ,(no ad),0,3,,1,0,0.0000,,,,2026-10-24 to 2026-11-22,UTC,2026-11-22 12:34:50
    ,(not settled yet),0,0,,2,0,,,,,2026-10-24 to 2026-11-22,UTC,2026-11-22 12:34:50
    ");
}

#[test]
fn json_has_the_same_numbers() {
    insta::assert_snapshot!(export::json(&ads(), Personal::Masked), @r#"
    {
      "report": "ads",
      "period": "30d",
      "from": "2026-10-24T00:00:00Z",
      "before": "2026-11-23T00:00:00Z",
      "zone": "UTC",
      "site": "demo",
      "about": [
        "ads, the last 30 days (2026-10-24 to 2026-11-22, UTC), site demo",
        "data up to 12:34:50, 12 records not settled yet, waiting since 12:34:48",
        "conversion rate by period: conversions divided by click-throughs of the same period",
        "attribution: the click that the lead or conversion names (click id), else the last one of its cookie, else of its daily hash; within 30 days unless the offer says otherwise",
        "pending: claimed, by a browser for example, and not confirmed; it is not in the amount",
        "not counted: 4 not judged human; 1 reported again (one counts per click and goal, per order, and per submission of a form)"
      ],
      "data_up_to": "2026-11-22T12:34:50Z",
      "newest_event": "2026-11-22T12:34:49.5Z",
      "records_unsettled": 12,
      "unsettled_since": "2026-11-22T12:34:48Z",
      "not_human": 4,
      "repeats": 1,
      "row_count": 3,
      "rows": [
        {
          "campaign": "summer",
          "ad": "=cmd|shoes",
          "impressions": 3000,
          "click_throughs": 100,
          "click_through_rate": 0.0333,
          "leads": 12,
          "conversions": 7,
          "conversion_rate": 0.07,
          "amount": {
            "EUR": "159.80"
          },
          "pending": {
            "EUR": "79.90",
            "USD": "10.5001"
          }
        },
        {
          "campaign": "",
          "ad": "(no ad)",
          "impressions": 0,
          "click_throughs": 3,
          "click_through_rate": null,
          "leads": 1,
          "conversions": 0,
          "conversion_rate": 0.0,
          "amount": {},
          "pending": {}
        },
        {
          "campaign": "",
          "ad": "(not settled yet)",
          "impressions": 0,
          "click_throughs": 0,
          "click_through_rate": null,
          "leads": 2,
          "conversions": 0,
          "conversion_rate": null,
          "amount": {},
          "pending": {}
        }
      ],
      "totals": {
        "impressions": 3000,
        "click_throughs": 103,
        "click_through_rate": 0.0343,
        "leads": 15,
        "conversions": 7,
        "conversion_rate": 0.068,
        "amount": {
          "EUR": "159.80"
        },
        "pending": {
          "EUR": "79.90",
          "USD": "10.5001"
        }
      }
    }
    "#);
}

#[test]
fn an_answer_without_money_has_the_same_keys() {
    let question = ask(ReportName::Affiliates, &Asked::default()).unwrap();
    let row =
        AffiliateRow { affiliate: "blogger".to_owned(), clicks: 1, ..AffiliateRow::default() };
    let answer = answer(question, Rows::Affiliates(vec![row.clone()], row), 1);
    let json = export::json(&answer, Personal::Masked);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for key in ["amount", "pending", "payout_provisional", "payout_locked"] {
        assert_eq!(value["rows"][0][key], serde_json::json!({}), "{key}");
    }
    assert_eq!(value["rows"][0]["conversion_rate"], 0.0);
}

#[test]
fn refusals_are_counted_by_reason_in_every_format() {
    let row = RefusalRow {
        site: "demo".to_owned(),
        form: "contact".to_owned(),
        door: "form".to_owned(),
        code: "value_too_long".to_owned(),
        parameter: String::new(),
        refused: 7,
        first: Some(time("2026-11-22T09:00:00Z")),
        last: Some(time("2026-11-22T09:05:00Z")),
        sample: "urlencoded 61 B: email=email(16)".to_owned(),
    };
    let asked = Asked { period: "today", zone: "Europe/Berlin", ..Asked::default() };
    let question = ask(ReportName::Refusals, &asked).unwrap();
    let refusals = answer(question, Rows::Refusals(vec![row], 9), 2);
    let table = text::render(&refusals, Personal::Masked, None);
    assert!(table.contains("value_too_long") && table.contains("1 rows of 2"), "{table}");
    assert!(
        !table.contains("conversion rate") && table.contains("edge.refusals_interval_s"),
        "{table}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&export::json(&refusals, Personal::Masked)).unwrap();
    assert_eq!((&json["rows"][0]["refused"], &json["totals"]["refused"]), (&7.into(), &9.into()));
    let csv = export::csv(&refusals, Personal::Masked);
    assert!(csv.contains("demo,contact,form,value_too_long,,7,"), "{csv}");
}

#[test]
fn leads_are_masked_unless_asked_for() {
    insta::assert_snapshot!(text::render(&leads(), Personal::Masked, None), @r"
    leads, 2026-11-22 (Europe/Berlin), all sites
    data up to 13:34:50, 12 records not settled yet, waiting since 13:34:48
    attribution: the click that the lead or conversion names (click id), else the last one of its cookie, else of its daily hash; within 30 days unless the offer says otherwise
    not counted: 4 not judged human; 1 reported again (one counts per click and goal, per order, and per submission of a form)

     time                  site   form      name   email           phone   source    page                       channel       campaign   ad      affiliate   link        click             basis      country   verdict   count
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     2026-11-22 00:30:00   demo   contact   ***    j***@e***.com   ***67   newsday   www.shop.example/contact   paid_search   summer     shoes               summer-ad   yes               click id   DE        human         2
     2026-11-22 00:30:00   demo   contact   ***                    ***67   newsday   www.shop.example/contact   paid_search   summer     shoes               summer-ad   not settled yet              DE        human         2

    2 rows of 230 (raise the limit for more)
    ");
    for masked in
        [export::csv(&leads(), Personal::Masked), export::json(&leads(), Personal::Masked)]
    {
        assert!(
            !masked.contains("Roe") && !masked.contains("jane") && !masked.contains("1234567"),
            "{masked}"
        );
    }
    let shown = export::csv(&leads(), Personal::Shown);
    assert!(shown.contains("jane.roe@example.com"));
    // A telephone number begins as a formula does.
    assert!(shown.contains("'+49 170 1234567"));
    assert!(!text::render(&leads(), Personal::Shown, None).contains('\u{1b}'));
}

#[test]
fn a_rate_is_rounded_half_up_and_may_be_unknown() {
    assert_eq!(Rate::of(1, 3).to_string(), "33.33 %");
    assert_eq!(Rate::of(2, 3).to_string(), "66.67 %");
    assert_eq!(Rate::of(1, 20_000).to_string(), "0.01 %");
    assert_eq!(Rate::of(5, 2).to_string(), "250.00 %");
    assert_eq!(Rate::of(0, 0).to_string(), "–");
    assert_eq!(Rate::of(u64::MAX, u64::MAX).to_string(), "100.00 %");
}

#[test]
fn a_bad_question_is_answered_with_the_nearest_good_one() {
    let ads = |asked: &Asked<'_>| ask(ReportName::Ads, asked).unwrap_err();
    let none = Asked::default();
    assert_eq!(
        ReportName::parse("afiliates").unwrap_err().to_string(),
        "unknown report `afiliates`; did you mean `affiliates`?"
    );
    assert_eq!(
        ads(&Asked { period: "30days", ..none }),
        "unknown period `30days`; did you mean --period 30d?"
    );
    assert_eq!(
        ads(&Asked { zone: "Europe/Berln", ..none }),
        "unknown zone `Europe/Berln`; did you mean --zone Europe/Berlin?"
    );
    assert_eq!(
        ads(&Asked { site: "dmo", ..none }),
        "unknown site `dmo`; did you mean --site demo?"
    );
    assert_eq!(
        ads(&Asked { limit: "0", ..none }),
        "`limit` must be a number from 1 to 10000; did you mean --limit 1000?"
    );
    assert_eq!(
        ads(&Asked { from: "2026-11-31", ..none }),
        "`from` must be a day like 2026-11-22, of the years 2000 to 2199; did you mean --from 2026-11-22?"
    );
    assert_eq!(
        ads(&Asked { from: "2026-11-20", to: "2026-11-10", ..none }),
        "the period ends (2026-11-10) before it begins (2026-11-20); did you mean --from 2026-11-10 --to 2026-11-20?"
    );
    assert_eq!(
        ads(&Asked { period: "7d", from: "2026-11-10", ..none }),
        "give a period or dates, not both; did you mean no --period?"
    );
    assert_eq!(
        ads(&Asked { to: "2026-11-10", ..none }),
        "`to` needs a `from`; did you mean --from 2026-11-01?"
    );
}

#[test]
fn a_period_has_the_days_of_its_zone() {
    let period = |asked: &Asked<'_>| {
        let period = ask(ReportName::Ads, asked).unwrap().period;
        format!("{} {} = {}", period.from, period.to, super::words::period(&period))
    };
    let none = Asked::default();
    let utc: Vec<String> = ["", "today", "24h", "7d", "90d", "month", "all"]
        .map(|name| period(&Asked { period: name, ..none }))
        .into();
    insta::assert_snapshot!(utc.join("\n"), @r"
    2026-10-24T00:00:00Z 2026-11-23T00:00:00Z = the last 30 days (2026-10-24 to 2026-11-22, UTC)
    2026-11-22T00:00:00Z 2026-11-23T00:00:00Z = today (2026-11-22, UTC)
    2026-11-21T12:34:00Z 2026-11-22T12:45:00Z = the last 24 hours (2026-11-21 12:34 to 2026-11-22 12:45, UTC)
    2026-11-16T00:00:00Z 2026-11-23T00:00:00Z = the last 7 days (2026-11-16 to 2026-11-22, UTC)
    2026-08-25T00:00:00Z 2026-11-23T00:00:00Z = the last 90 days (2026-08-25 to 2026-11-22, UTC)
    2026-11-01T00:00:00Z 2026-11-23T00:00:00Z = this month (2026-11-01 to 2026-11-22, UTC)
    2000-01-01T00:00:00Z 2026-11-23T00:00:00Z = all time (UTC)
    ");
    let berlin = Asked { zone: "Europe/Berlin", ..none };
    assert_eq!(
        period(&Asked { period: "today", ..berlin }),
        "2026-11-21T23:00:00Z 2026-11-22T23:00:00Z = today (2026-11-22, Europe/Berlin)"
    );
    // The day on which clocks go back has 25 hours.
    assert_eq!(
        period(&Asked { from: "2026-10-25", to: "2026-10-25", ..berlin }),
        "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z = 2026-10-25 (Europe/Berlin)"
    );
}

proptest! {
    #[test]
    fn no_text_makes_a_question_panic(period in ".{0,12}", from in ".{0,12}", site in ".{0,80}", limit in ".{0,6}") {
        let _ = ask(ReportName::Ads, &Asked { period: &period, from: "", to: "", zone: "", site: &site, limit: &limit });
        let _ = ask(ReportName::Ads, &Asked { period: "", from: &from, to: &from, zone: "", site: "", limit: "" });
        let _ = ReportName::parse(&site);
    }

    // By itself, for the nearest of six hundred names is dear.
    #[test]
    fn no_text_makes_a_zone_panic(zone in ".{0,20}|[A-Z][a-z]{2,9}/[A-Z][a-z]{2,9}") {
        let _ = ask(ReportName::Ads, &Asked { zone: &zone, ..Asked::default() });
    }

    #[test]
    fn a_day_is_from_midnight_to_midnight(year in 2000i16..=2199, month in 1i8..=12, day in 1i8..=28) {
        let text = format!("{year}-{month:02}-{day:02}");
        let question = ask(ReportName::Ads, &Asked { from: &text, to: &text, ..Asked::default() }).unwrap();
        let hours = question.period.to.duration_since(question.period.from).as_hours();
        prop_assert_eq!(hours, 24);
        prop_assert_eq!(question.period.dates(), text);
    }

    #[test]
    fn no_text_becomes_a_formula_or_steers_the_terminal(name in ".{0,40}") {
        let mut answer = leads();
        let Rows::Leads(rows) = &mut answer.rows else { unreachable!("leads() gives leads") };
        rows[0].name = PersonalText::new(name.clone());
        let csv = export::csv(&answer, Personal::Shown);
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        let guarded = name.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        prop_assert_eq!(&record[3], if guarded { format!("'{name}") } else { name });
        let shown = text::render(&answer, Personal::Shown, None);
        prop_assert!(shown.chars().all(|character| character == '\n' || !character.is_control()));
    }
}
