//! What posted fields mean, through the real program: columns, copies in one spelling, consents, service contacts, and a suggested mapping.

use std::fmt::Write as _;

use super::{BROWSER, URLENCODED, expect_number, installation, nothing_is_doubled, text};

const MULTIPART: &str = "multipart/form-data; boundary=B";

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_understood_beside_being_kept_as_they_came() {
    let (installation, database) = installation("meaning").await;
    let client = &database.admin;
    let program = installation.ready(&["up"]).await;
    let post = |path: &str, kind: &str, body: &str| {
        let reply = installation.post(path, kind, body, BROWSER);
        assert!(matches!(reply.status, 200 | 303), "{path} {body}: {}", reply.status);
    };

    let polish = "Imi%C4%99+i+nazwisko=Grzegorz+Brz%C4%99czyszczykiewicz&adres_e-mail=G.B%40B%C3%BCcher.example&telefon=600+100+200&kraj=Polska\
                  &firma=-None-&zgoda=&00N3X01=Proszę+o+ofertę";
    post("/f/contact", URLENCODED, polish);
    let later = "E-Mail=g.b%40xn--bcher-kva.example&miasto=Krak%C3%B3w&name=";
    post("/f/contact", URLENCODED, later);
    let parts = "--B\r\nContent-Disposition: form-data; name=\"বার্তা\"\r\n\r\nদাম কত?\r\n--B\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"../cv.pdf\"\r\n\r\n%PDF\r\n--B--\r\n";
    post("/f/contact", MULTIPART, parts);
    let case = "orgid=00D1&name=Jane+Doe&email=jane%40example.com&subject=Broken&description=It+is+broken&type=Complaint&priority=High";
    post("/f/contact", URLENCODED, case);

    expect_number(client, "SELECT count() FROM leads", 3).await;
    expect_number(client, "SELECT count() FROM service_contacts", 1).await;
    let first = "SELECT toString((full_name, email, email_normalised, phone, phone_e164, country_typed, country_code, company, consents, extra)) \
                 FROM leads WHERE full_name != ''";
    assert_eq!(
        text(client, first).await,
        "('Grzegorz Brzęczyszczykiewicz','G.B@Bücher.example','g.b@xn--bcher-kva.example','600 100 200','+48600100200','Polska','PL','',\
         {'marketing':'yes'},{'firma':'-None-','zgoda':'','00N3X01':'Proszę o ofertę'})"
    );
    let profile =
        "SELECT toString((leads, full_name, city, email)) FROM lead_profiles WHERE email != ''";
    assert_eq!(
        text(client, profile).await,
        "(2,'Grzegorz Brzęczyszczykiewicz','Kraków','g.b@xn--bcher-kva.example')",
        "a later post without a name blanks none"
    );
    let bengali = "SELECT toString((message, mapKeys(extra))) FROM leads WHERE message != ''";
    assert_eq!(text(client, bengali).await, "('দাম কত?',['leadtrail.file'])");
    let contact = "SELECT toString((kind, status, full_name, subject, message, case_priority, email_key != toFixedString('', 16))) FROM service_contacts";
    assert_eq!(
        text(client, contact).await,
        "('complaint','open','Jane Doe','Broken','It is broken','High',1)"
    );

    for place in 0..4 {
        let mut body = String::new();
        write!(body, "entry.1=person{place}%40example.com&entry.2=017{place}2345678&entry.3=x")
            .unwrap();
        post("/f/contact", URLENCODED, &body);
    }
    expect_number(client, "SELECT count() FROM leads", 7).await;
    let output = installation.run(&["form", "suggest", "contact"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let suggested = String::from_utf8(output.stdout).unwrap();
    assert!(suggested.contains("\n\"entry.1\" = \"email\"  # 4 of 4"), "{suggested}");
    assert!(suggested.contains("\n\"entry.2\" = \"phone\"  # 4 of 4"), "{suggested}");
    assert!(!suggested.contains("person1") && !suggested.contains("2345678"), "{suggested}");
    nothing_is_doubled(client).await;
    drop(program);
}
