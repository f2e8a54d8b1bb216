//! A new lead reaches a human: the real program, receivers that behave badly, a mail server of the test's own.

mod mailbox;
mod receiver;
mod story;
mod survives;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::env::program::Installation;
use crate::env::warehouse::{Database, Warehouse};

/// Well within this time something happens, also in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\nAccept-Language: en\r\nAccept: text/html\r\n";

/// Of the webhooks in these tests: 24 bytes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An installation with these endpoints, impatient.
async fn installation(purpose: &str, endpoints: &str) -> (Installation, Database) {
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new(purpose);
    installation.use_warehouse(&database);
    let secret = installation.folder.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = installation.folder.join("deliver.toml");
    let endpoints = endpoints.replace("SECRET", &secret.display().to_string());
    std::fs::write(&file, endpoints).unwrap();
    installation.set("DELIVER__FILE", &file.display().to_string());
    installation.set("DELIVER__RETRY_FIRST_MS", "100");
    installation.set("DELIVER__RETRY_LONGEST_MS", "500");
    (installation, database)
}

fn webhook(name: &str, port: u16) -> String {
    format!(
        "[[webhook]]\nname = \"{name}\"\nforms = [\"contact\"]\nurl = \"http://127.0.0.1:{port}/hooks/{name}?from=us\"\n\
         secret_file = \"SECRET\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n"
    )
}

/// Posts a form; gives the lead's id.
fn lead(installation: &Installation, body: &str) -> String {
    let reply = installation.post("/f/contact", "application/x-www-form-urlencoded", body, BROWSER);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.event_id().to_string()
}

/// What a command prints; it must end with this code.
fn said(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
