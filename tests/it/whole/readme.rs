//! The README's first minute, as a new user would try it: the lines are taken from there and run as they are.

use crate::env::wait_for;

use super::{SOON, installation};

/// The block of shell lines below «With curl, one line for each door».
fn lines() -> String {
    let readme = include_str!("../../../README.md");
    let (_, rest) =
        readme.split_once("With curl, one line for each door").expect("the README has them");
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// What the edge answered, in order: status and, of some headers, what matters.
fn told(output: &str) -> Vec<String> {
    let mut told = Vec::new();
    for line in output.lines() {
        if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
            told.push(status[..3].to_owned());
        } else if let (Some(("location", to)), Some(last)) =
            (line.split_once(": "), told.last_mut())
        {
            last.push_str(&format!(" {}", to.split('?').next().unwrap()));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_the_readmes_first_minute_does_what_it_says() {
    let (installation, _database) = installation("readme").await;
    let _program = installation.ready(&["up"]).await;
    let lines = lines()
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", installation.edge))
        .replace("target/release/leadtrail", env!("CARGO_BIN_EXE_leadtrail"));
    let (requests, reports) = lines.split_at(lines.find(" report ads").unwrap());
    let requests = requests.rsplit_once('\n').unwrap().0;
    let output = installation.shell(requests);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let shoes = "302 http://localhost:8082/shoes";
    let expected = [
        "200",
        "200",
        "200",
        "303 http://localhost:8082/thanks",
        shoes,
        shoes,
        "200",
        "200",
        "200",
        "200",
    ];
    assert_eq!(told(&output), expected, "{output}");
    for words in ["<h1>Thank you</h1>", "{\"receipt\":\"", "\"status\":\"received\""] {
        assert!(output.contains(words), "{words} in {output}");
    }
    assert!(reports.contains("report leads"));
    wait_for("a lead with its click in the report", SOON, || {
        let output = installation.run(&["report", "leads"]);
        let leads = String::from_utf8_lossy(&output.stdout).into_owned();
        // Four that know no click, and one that names it.
        leads.lines().filter(|line| line.contains(",contact,")).count() == 5
            && leads.contains(",summer-ad,yes,click id,")
    })
    .await;
    let output = installation.run(&["report", "ads"]);
    let ads = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(ads.contains("summer,summer-shoes,1,2,"), "{ads}");
}
