//! Leads, three endpoints, and what may happen to each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mailbox::Mailbox;
use super::receiver::{Mood, Receiver, Seen};
use super::{BROWSER, SOON, installation, lead, said, webhook};
use crate::env::program::Installation;
use crate::env::{free_port, wait_for};

fn lead_of(seen: &Seen) -> String {
    seen.body["data"]["id"].as_str().unwrap().to_owned()
}

/// Each lead has one id, whatever the number of attempts.
fn ids(seen: &[Seen]) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in seen {
        ids.entry(lead_of(one)).or_default().insert(one.id.clone());
    }
    ids
}

fn endpoint(installation: &Installation, name: &str) -> Value {
    let list = said(installation, &["webhook", "list", "--json"], 0);
    let list: Value = serde_json::from_str(&list).unwrap();
    list.as_array().unwrap().iter().find(|one| one["endpoint"] == name).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_slow_and_ill_gets_each_lead_once_it_is_back_and_holds_no_other() {
    let (crm_port, other_port, mailbox) = (free_port(), free_port(), Mailbox::listen());
    let other = Receiver::listen(other_port, Mood::Answers(200));
    let mail = format!(
        "[[mail]]\nname = \"sales\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"Leads <leads@shop.example>\"\n\
         to = [\"one@shop.example\", \"Two <two@shop.example>\"]\n",
        mailbox.port
    );
    let endpoints = format!("{}{}{mail}", webhook("crm", crm_port), webhook("other", other_port));
    let (mut installation, _database) = installation("deliver", &endpoints).await;
    installation.set("DELIVER__TIMEOUT_MS", "1000");
    let mut program = installation.ready(&["up"]).await;

    let click = installation.get("/c/summer-ad", BROWSER);
    let (_, click_id) = click.header("location").unwrap().split_once("lt=").unwrap();
    let mut sent = vec![lead(
        &installation,
        &format!("email=jane%40shop.example&name=Jane+Roe&colour=red&colour=blue&lt={click_id}"),
    )];
    sent.push(lead(
        &installation,
        "email=joe%40shop.example%0D%0ABcc%3A+all%40evil.example&message=Hi%0D%0AYou",
    ));
    let held = lead(&installation, "email=spam%40shop.example&_honey=1");
    sent.push(lead(&installation, "phone=%2B49+170+1234567"));

    // The one that is well has them at once, though the other is down.
    wait_for("three leads at the receiver that is well", SOON, || other.answered(200) == 3).await;
    let first = other.seen().into_iter().find(|seen| lead_of(seen) == sent[0]).unwrap();
    assert_eq!(first.path, "/hooks/other?from=us");
    assert_eq!(first.body["type"], "lead.created");
    let data = &first.body["data"];
    assert_eq!((&data["site"], &data["form"]), (&"demo".into(), &"contact".into()));
    assert_eq!(data["lead"]["email"], "jane@shop.example");
    assert_eq!(data["fields"].to_string(), r#"[["colour","red"],["colour","blue"]]"#);
    assert_eq!(data["attribution"]["campaign"], "summer");
    assert_eq!(data["attribution"]["basis"], "click_id");

    let crm = Receiver::listen(crm_port, Mood::Holds);
    wait_for("attempts at the slow receiver", SOON, || crm.answered(0) >= 2).await;
    crm.set(Mood::Answers(500));
    wait_for("attempts at the ill receiver", SOON, || crm.answered(500) >= 2).await;
    let ill = endpoint(&installation, "crm");
    assert_eq!((&ill["pending"], &ill["delivered"]), (&3.into(), &0.into()));
    assert!(
        ["timeout", "server_error 500"].contains(&ill["last_error"].as_str().unwrap()),
        "{ill}"
    );
    crm.set(Mood::Answers(204));
    wait_for("each lead at the receiver that is back", SOON, || crm.answered(204) >= 3).await;
    wait_for("all to be recorded", SOON, || endpoint(&installation, "crm")["delivered"] == 3).await;
    assert_eq!(crm.answered(204), 3, "none is sent again once it was taken");
    for receiver in [&crm, &other] {
        let ids = ids(&receiver.seen());
        assert_eq!(
            ids.keys().collect::<BTreeSet<_>>(),
            sent.iter().collect(),
            "these leads and no other"
        );
        assert!(ids.values().all(|ids| ids.len() == 1), "a lead has the same id each time");
    }

    mails(&mailbox).await;

    // Whoever complains is heard as soon, and once.
    let complaint =
        "email=angry%40shop.example&type=Complaint&mobile=0170+7654321&message=It+is+broken";
    let angry = lead(&installation, complaint);
    let again = lead(&installation, complaint);
    wait_for("the complaint", SOON, || other.seen().iter().any(|seen| lead_of(seen) == angry))
        .await;
    wait_for("its mail", SOON, || complaints(&mailbox) == 1).await;

    // What is released is a lead like any other; what is held is none.
    said(&installation, &["quarantine", "release", &held], 0);
    wait_for("the released lead", SOON, || other.seen().iter().any(|seen| lead_of(seen) == held))
        .await;
    let seen = other.seen();
    assert!(seen.iter().all(|seen| lead_of(seen) != again), "the same complaint twice is one");
    let told = seen.iter().find(|seen| lead_of(seen) == angry).unwrap();
    assert_eq!(told.body["type"], "complaint.created");
    let contact = &told.body["data"]["contact"];
    assert_eq!(
        (&contact["mobile"], &contact["message"]),
        (&"0170 7654321".into(), &"It is broken".into())
    );

    other.set(Mood::Answers(410));
    let unwanted = lead(&installation, "email=late%40shop.example");
    wait_for("410 to disable the endpoint", SOON, || {
        endpoint(&installation, "other")["state"] == "disabled: gone"
    })
    .await;
    other.set(Mood::Answers(200));
    let later = lead(&installation, "email=later%40shop.example");
    wait_for("a lead that waits", SOON, || endpoint(&installation, "other")["pending"] == 2).await;
    assert!(installation.metrics().contains("leadtrail_deliver_disabled{endpoint=\"other\"} 1"));
    assert_eq!(other.seen().iter().filter(|seen| lead_of(seen) == later).count(), 0);
    said(&installation, &["webhook", "retry", "othr"], 2);
    said(&installation, &["webhook", "retry", "other"], 1);
    for id in [&unwanted, &later] {
        wait_for("what waited", SOON, || {
            other.seen().iter().any(|seen| lead_of(seen) == *id && seen.status == 200)
        })
        .await;
    }
    // A receiver that lost one asks for it again.
    wait_for("it to be recorded", SOON, || endpoint(&installation, "other")["pending"] == 0).await;
    said(&installation, &["webhook", "retry", "other", "--id", &later], 0);
    wait_for("it again", SOON, || {
        other.seen().iter().filter(|seen| lead_of(seen) == later).count() == 2
    })
    .await;
    assert!(ids(&other.seen()).values().all(|ids| ids.len() == 1));

    assert!(program.stop().success());
    let logs = installation.logs();
    for personal in ["shop.example", "Jane", "1234567", "/hooks/"] {
        assert!(!logs.contains(personal), "{personal} stands in a log line");
    }
}

fn complaints(mailbox: &Mailbox) -> usize {
    let mails = mailbox.seen();
    let told = mails
        .iter()
        .filter(|mail| mail.header("Subject") == Some("New complaint: contact on demo"));
    told.filter(|mail| mail.taken && mail.body.contains("Tracking number: ")).count()
}

async fn mails(mailbox: &Mailbox) {
    wait_for("three mails", SOON, || mailbox.seen().iter().filter(|mail| mail.taken).count() == 3)
        .await;
    let mails = mailbox.seen();
    let (refused, taken): (Vec<_>, Vec<_>) = mails.iter().partition(|mail| !mail.taken);
    let id = refused[0].header("Message-ID").unwrap();
    assert!(taken.iter().any(|mail| mail.header("Message-ID") == Some(id)), "the same mail again");
    for mail in &taken {
        assert_eq!(mail.to, ["one@shop.example", "two@shop.example"]);
        assert_eq!(mail.header("Subject"), Some("New lead: contact on demo"));
        assert!(!mail.head.contains("evil.example"), "a header was injected: {}", mail.head);
    }
    let jane = taken.iter().find(|mail| mail.body.contains("Name: Jane Roe")).unwrap();
    assert_eq!(jane.header("Reply-To"), Some("jane@shop.example"));
    assert!(
        jane.body.contains("colour: red\ncolour: blue\n") && jane.body.contains("Campaign: summer")
    );
    let joe = taken.iter().find(|mail| mail.body.contains("Message:\n  Hi\n  You")).unwrap();
    assert_eq!(joe.header("Reply-To"), None, "what is no address is not replied to");
}
