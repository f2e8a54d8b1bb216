//! What is kept when the deliverer is killed, and what becomes of a delivery that is too old.

use super::receiver::{Mood, Receiver};
use super::{SOON, installation, lead, said, webhook};
use crate::env::{free_port, wait_for, wait_for_async};

#[tokio::test(flavor = "multi_thread")]
async fn a_deliverer_that_is_killed_between_sending_and_recording_sends_again_with_the_same_id() {
    let port = free_port();
    let receiver = Receiver::listen(port, Mood::Holds);
    let (installation, database) = installation("killed", &webhook("crm", port)).await;
    let mut program = installation.ready(&["up"]).await;
    let id = lead(&installation, "email=jane%40shop.example");
    wait_for("the request", SOON, || receiver.answered(0) == 1).await;
    program.kill9();
    let at_the_kill = receiver.seen().len();
    receiver.set(Mood::Answers(200));
    let mut program = installation.ready(&["up"]).await;
    let count = async |state: &str| {
        let sql = format!(
            "SELECT count() FROM deliveries FINAL WHERE state = '{state}' AND toString(event_id) = '{id}'"
        );
        database.admin.query(&sql).fetch_one::<u64>().await.unwrap()
    };
    wait_for_async("it to be delivered", SOON, async || count("delivered").await == 1).await;
    let seen = receiver.seen();
    assert_eq!((seen.len(), receiver.answered(200)), (at_the_kill + 1, 1));
    assert!(seen.iter().all(|one| one.id == seen[0].id), "{seen:?}");

    // Three days of a receiver that is ill: given up, disabled, and taken up again by command.
    receiver.set(Mood::Answers(503));
    let id = lead(&installation, "email=joe%40shop.example");
    wait_for("an attempt", SOON, || receiver.answered(503) > 0).await;
    program.stop();
    let age = "INSERT INTO deliveries (endpoint, site, event_time, id_seq, id_node, received_lag_ms, form, state, attempts, reason, status, since, at, version) \
         SELECT endpoint, site, event_time, id_seq, id_node, received_lag_ms, form, state, attempts, reason, status, now64(3) - INTERVAL 73 HOUR, at, version + 1 \
         FROM deliveries FINAL WHERE state = 'pending'";
    database.admin.query(age).execute().await.unwrap();
    // One that was delivered within these three days would show that it is not the receiver.
    let old = "ALTER TABLE deliveries UPDATE at = at - INTERVAL 80 HOUR WHERE state = 'delivered' SETTINGS mutations_sync = 1";
    database.admin.query(old).execute().await.unwrap();
    let mut program = installation.ready(&["up"]).await;
    let failed = format!(
        "SELECT count() FROM deliveries FINAL WHERE state = 'failed' AND reason = 'server_error' AND status = 503 AND toString(event_id) = '{id}'"
    );
    wait_for_async("it to be given up", SOON, async || {
        database.admin.query(&failed).fetch_one::<u64>().await.unwrap() == 1
    })
    .await;
    wait_for("the endpoint to be disabled", SOON, || {
        said(&installation, &["webhook", "list"], 0).contains("disabled: server_error")
    })
    .await;
    let waiting = said(&installation, &["webhook", "list", "--waiting"], 0);
    assert!(waiting.contains(&id) && waiting.contains("server_error 503"), "{waiting}");
    assert!(
        installation.metrics().contains("leadtrail_deliver_given_up_total{endpoint=\"crm\"} 1")
    );
    receiver.set(Mood::Answers(200));
    said(&installation, &["webhook", "retry", "crm"], 0);
    wait_for("it after all", SOON, || receiver.answered(200) == 2).await;
    wait_for("it to be recorded", SOON, || {
        installation.run(&["webhook", "list", "--waiting"]).status.code() == Some(1)
    })
    .await;
    program.stop();
}
