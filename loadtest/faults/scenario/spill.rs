//! The spill is full: the broker hangs, and forms as large as they may be come until they are refused.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use crate::faults::ask::{self, Answer};
use crate::faults::installation::Installation;

/// The spill holds 40 MB and a form of ours 48 KB; so many in one go.
const FORMS_AT_ONCE: usize = 32;
const PAD_BYTES: usize = 16_000;

/// How long filling may take, on a busy machine.
const FULL_WITHIN: Duration = Duration::from_secs(120);

/// From the broker's return until all of the spill is stored.
const STORED_WITHIN: Duration = Duration::from_secs(120);

/// How long it stays full: the load is refused meanwhile.
const STAYS_FULL: Duration = Duration::from_secs(3);

/// Fills it, and lets the broker go on. While it is full, forms are refused with 503 and `Retry-After`, and redirects go on; each form of
/// ours that got a receipt is stored in the end.
pub async fn full(installation: &Installation) -> anyhow::Result<()> {
    let broker = installation.broker.as_ref().context("this home has no broker")?;
    broker.stop_signal().await;
    let filled = fill(installation.edge_port()).await;
    // Whatever came of it, the broker has to go on.
    if filled.is_ok() {
        tokio::time::sleep(STAYS_FULL).await;
    }
    let click = ask::get(installation.edge_port(), "/c/summer-ad").await;
    broker.cont();
    broker.wait_until_ready().await;
    let (receipts, refusal) = filled?;
    ensure!(refusal.status == 503 && refusal.retry_after, "a full spill answers {refusal:?}");
    ensure!(
        click.as_ref().is_ok_and(|click| click.status == 302),
        "a click was answered {click:?}"
    );
    stored(installation, &receipts).await
}

/// Posts until a form is refused; the receipts, and the refusal.
async fn fill(port: u16) -> anyhow::Result<(Vec<Uuid>, Answer)> {
    let (mut receipts, mut number) = (Vec::new(), 0);
    let deadline = Instant::now() + FULL_WITHIN;
    loop {
        ensure!(Instant::now() < deadline, "the spill took {number} forms and is not full");
        let forms: Vec<_> = (0..FORMS_AT_ONCE)
            .map(|_| {
                number += 1;
                tokio::spawn(post(port, number))
            })
            .collect();
        let mut refusal = None;
        for form in forms {
            let answer = form.await??;
            match answer.receipt {
                Some(receipt) => receipts.push(receipt),
                None => refusal = Some(answer),
            }
        }
        if let Some(refusal) = refusal {
            return Ok((receipts, refusal));
        }
    }
}

/// A form with three large fields, each another text.
async fn post(port: u16, number: u64) -> anyhow::Result<Answer> {
    let email = format!("filler{number}@example.org");
    let pads =
        [1, 2, 3].map(|field| format!("{number} {field} apples and pears ").repeat(PAD_BYTES / 24));
    let fields = [
        ("name", "Jane Filler"),
        ("email", email.as_str()),
        ("phone", "+49 30 1234567"),
        ("garden", pads[0].as_str()),
        ("house", pads[1].as_str()),
        ("shed", pads[2].as_str()),
    ];
    ask::post(port, "/f/contact", &fields).await
}

async fn stored(installation: &Installation, receipts: &[Uuid]) -> anyhow::Result<()> {
    let client = installation.admin()?;
    let sql = "SELECT uniqExact(event_id) FROM events WHERE event_id IN (SELECT arrayJoin(arrayMap(text -> toUUID(text), ?)))";
    let ids: Vec<String> = receipts.iter().map(Uuid::to_string).collect();
    let deadline = Instant::now() + STORED_WITHIN;
    loop {
        let found: u64 = client.query(sql).bind(&ids).fetch_one().await?;
        if found == ids.len() as u64 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} large forms have receipts, {found} are stored two minutes after the broker came back",
            ids.len()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
