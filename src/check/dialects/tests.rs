//! The built-in files, files of an operator's, and the doors that they lead to.

use super::doors::{Doors, Reason};
use super::*;
use crate::check::lead_field::LeadField;
use crate::event::EventType;
use crate::registry::Registry;

const SITES: &str = r#"
[[site]]
name = "shop"
visitor = "none"
hosts = ["forms.shop.example"]

[[site]]
name = "other"
visitor = "none"
hosts = ["*"]
dialects = ["eloqua", "netlify"]

[[form]]
name = "trial"
site = "shop"
dialect = "hubspot_v3"
ids = ["7000007/ab937fd4"]

[[form]]
name = "old-contact"
site = "shop"
ids = ["mnngvnbg"]

[[form]]
name = "cases"
site = "shop"
dialect = "salesforce_case"
"#;

fn doors() -> Doors {
    let registry = Registry::parse(SITES, "sites.toml").unwrap();
    Doors::new(&registry, Arc::new(Dialects::built_in())).unwrap()
}

fn posted(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Site, form, dialect and reason of a post at a vendor's path.
fn chosen(
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Option<(String, String, String, Reason)> {
    let doors = doors();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let door = doors.find(host, path, query)?;
    let chosen = doors.choose(&door, &posted(fields))?;
    let dialect = doors.dialects.at(chosen.dialect).name().to_owned();
    Some((chosen.site.name.clone(), chosen.form.name.clone(), dialect, chosen.reason))
}

fn found(
    site: &str,
    form: &str,
    dialect: &str,
    reason: Reason,
) -> Option<(String, String, String, Reason)> {
    Some((site.into(), form.into(), dialect.into(), reason))
}

#[test]
fn each_dialect_has_a_title_and_a_way_to_be_found() {
    let dialects = Dialects::built_in();
    assert!(dialects.all().count() >= 22);
    for (_, dialect) in dialects.all() {
        assert!(!dialect.file.title.is_empty(), "{}", dialect.name());
        let found = !dialect.paths.is_empty() || !dialect.file.recognise.is_empty();
        assert!(found || dialect.name() == GENERIC, "{}", dialect.name());
    }
}

#[test]
fn a_name_has_the_role_that_its_dialect_gives_it() {
    let dialects = Dialects::built_in();
    let role = |dialect: &str, name: &str| dialects.get(dialect).unwrap().role(name);
    let column = |name: &str| Role::Column(LeadField::parse(name).unwrap());
    for (dialect, name, expected) in [
        ("salesforce_lead", "URL", column("website")),
        ("salesforce_lead", "url", Role::Page),
        ("salesforce_lead", "title", column("job_title")),
        ("salesforce_lead", "00N3X0000060fw7", Role::Kept),
        ("salesforce_lead", "g-recaptcha-response", Role::Dropped),
        ("getform", "title", column("subject")),
        ("vtiger", "name", Role::Kept),
        ("odoo", "name", column("subject")),
        ("mautic", "mauticform[first_name]", column("first_name")),
        ("mautic", "mauticform[privacy_consent][]", Role::OptIn("privacy")),
        ("mautic", "mauticform[return]", Role::ReturnUrl),
        ("zoho", "Contacts.Last Name", column("last_name")),
        ("zoho", "aG9uZXlwb3Q", Role::Honeypot),
        ("jotform", "website", Role::Honeypot),
        ("jotform", "q5_name[first]", column("first_name")),
        ("generic", "website", Role::Unknown),
        ("mailchimp", "b_46d4ca194e984dd223cf00000_07980a0000", Role::Honeypot),
        ("mailchimp", "MERGE0", column("email")),
        ("eloqua", "elqSiteId", Role::Kept),
        ("eloqua", "ELQFORMNAME", Role::Kept),
        ("emarsys", "inp_3", column("email")),
        ("infusionsoft", "inf_field_Email", column("email")),
        ("infusionsoft", "pluginList", Role::Dropped),
        ("hubspot_v2", "hs_context.ipAddress", Role::Address),
        ("hubspot_v3", "context.hutk", Role::Kept),
        ("hubspot_v3", "0-2/name", column("company")),
        ("marketo", "subId", Role::Kept),
        ("formspree", " _gotcha ", Role::Honeypot),
        // Two dialects in one request: the handler knows what Web-to-Lead's names are.
        ("pardot", "oid", Role::Kept),
        ("pardot", "URL", column("website")),
        ("pardot", "lead_source", column("lead_source")),
        ("pardot", "retURL", Role::ReturnUrl),
        ("pardot", "success_location", Role::ReturnUrl),
    ] {
        assert_eq!(role(dialect, name), expected, "{dialect}: {name}");
    }
    let long = "n".repeat(4_000);
    assert_eq!(role("generic", &long), Role::Unknown);
}

#[test]
fn a_complaint_is_told_by_its_type_or_by_a_radios_text() {
    let dialects = Dialects::built_in();
    let event = |dialect: &str, name: &str, value: &str| {
        dialects.get(dialect).unwrap().event_by(name, value)
    };
    assert_eq!(event("salesforce_case", "type", " Complaint"), Some(EventType::Complaint));
    assert_eq!(event("salesforce_case", "type", "Payment"), None);
    assert_eq!(dialects.get("salesforce_case").unwrap().usual_event(), EventType::ServiceContact);
    assert_eq!(event("generic", "topic", "BESCHWERDE"), Some(EventType::Complaint));
    assert_eq!(event("generic", "message", "I have no complaint"), None);
    assert_eq!(event("marketo", "Unsubscribed", "Yes"), Some(EventType::Unsubscribe));
    assert_eq!(event("zoho", "actionType", "Q2FzZXM="), Some(EventType::ServiceContact));
}

#[test]
fn a_dialect_is_recognised_by_most_of_its_names() {
    let dialects = Dialects::built_in();
    let recognised = |names: &[&str]| {
        let found = dialects.recognise(names.iter().copied());
        found.map(|found| dialects.at(found.place).name().to_owned())
    };
    for (names, dialect) in [
        (&["oid", "email"][..], "salesforce_lead"),
        (&["orgid", "email"], "salesforce_case"),
        (&["elqsiteid", "ElqFormName"], "eloqua"),
        (&["_next", "_honey", "_template", "email"], "formsubmit"),
        (&["_next", "_gotcha"], "formspree"),
        (&["mauticform[formId]"], "mautic"),
        (&["hs_context"], "hubspot_v2"),
        (&["_wpcf7"], "contact_form_7"),
        (&["inf_form_xid"], "infusionsoft"),
    ] {
        assert_eq!(recognised(names).as_deref(), Some(dialect), "{names:?}");
    }
    assert_eq!(recognised(&["email", "orgId", "name"]), None);
}

#[test]
fn a_vendors_path_is_open_on_the_hosts_of_its_site_alone() {
    let lead = "/servlet/servlet.WebToLead?encoding=UTF-8";
    let unregistered = found("shop", "salesforce_lead", "salesforce_lead", Reason::Path);
    assert_eq!(chosen("Forms.Shop.Example:8080", lead, &[]), unregistered);
    assert_eq!(chosen("elsewhere.example", lead, &[]), None, "not among the other site's dialects");
    assert_eq!(chosen("x", "/e/f2", &[]), found("other", "eloqua", "eloqua", Reason::Path));
    assert_eq!(chosen("forms.shop.example", "/no/such/path", &[]), None);
    // Any path may be a page with a form of its own, if the fields say so.
    let page = found("shop", "netlify", "netlify", Reason::Fields);
    assert_eq!(chosen("forms.shop.example", "/thank-you", &[("form-name", "career")]), page);
}

#[test]
fn a_registered_form_is_found_by_its_id() {
    let host = "forms.shop.example";
    let hubspot = "/submissions/v3/integration/submit/7000007/ab937fd4";
    assert_eq!(chosen(host, hubspot, &[]), found("shop", "trial", "hubspot_v3", Reason::FormId));
    let other = "/submissions/v3/integration/submit/7000007/other";
    assert_eq!(chosen(host, other, &[]), found("shop", "hubspot_v3", "hubspot_v3", Reason::Path));
    let old = found("shop", "old-contact", "formspree", Reason::FormId);
    assert_eq!(chosen(host, "/f/mnngvnbg", &[]), old);
    let uuid = "/f/8a6b2b59-3f0f-4d2b-a62e-dfb5fd660000";
    assert_eq!(chosen(host, uuid, &[]), found("shop", "getform", "getform", Reason::Path));
    let case = chosen(host, "/servlet/servlet.WebToCase", &[("orgid", "00D")]);
    assert_eq!(case, found("shop", "cases", "salesforce_case", Reason::Path));
}

#[test]
fn sites_that_contradict_the_dialects_are_refused_with_the_nearest_word() {
    let refusal = |text: &str| {
        let registry = Registry::parse(&format!("{SITES}{text}"), "sites.toml").unwrap();
        Doors::new(&registry, Arc::new(Dialects::built_in())).unwrap_err().to_string()
    };
    let form = |rest: &str| refusal(&format!("[[form]]\nname = \"x\"\nsite = \"shop\"\n{rest}\n"));
    assert_eq!(
        form("dialect = \"hubspot\""),
        "sites: form `x`: unknown dialect `hubspot`; did you mean `hubspot_v3`?"
    );
    assert_eq!(
        form("ids = [\"mnngvnbg\"]"),
        "sites: forms `old-contact` and `x` have the same id `mnngvnbg`"
    );
    assert!(
        form("required = [\"mail\"]")
            .starts_with("sites: form `x`: required: unknown lead field `mail`")
    );
    let site =
        |rest: &str| refusal(&format!("[[site]]\nname = \"x\"\nvisitor = \"none\"\n{rest}\n"));
    assert!(
        site("hosts = [\"forms.shop.example\"]").contains("stands at the sites `shop` and `x`")
    );
    assert!(site("hosts = [\"https://a.example\"]").contains("without scheme and port"));
    assert!(site("hosts = [\"A.example\"]").contains("in lower case"));
    assert!(site("dialects = [\"pardott\"]").ends_with("did you mean `pardot`?"));
}

/// Loads the built-in dialects with these files laid over them.
fn with(files: &[(&str, &str)]) -> Result<Dialects, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Dialects::load(folder.path().to_str().unwrap()).map_err(|error| {
        let text = error.to_string();
        let end = text.find(".toml").unwrap_or(0);
        let start = text[..end].rfind('/').map_or(0, |at| at + 1);
        text[start..].to_owned()
    })
}

#[test]
fn a_new_system_needs_a_file_and_no_code() {
    let file = "name = \"acme\"\ntitle = \"Acme\"\npaths = [\"/acme/{form}\"]\n[aliases]\nemail = [\"elektronische_post\"]\n";
    let dialects = with(&[("acme.toml", file), ("notes.txt", "nothing")]).unwrap();
    let acme = dialects.get("acme").unwrap();
    assert_eq!(acme.column_of("Elektronische_Post"), LeadField::parse("email"));
    assert_eq!(acme.role("_gotcha"), Role::Honeypot, "generic stands behind it");
}

#[test]
fn a_built_in_dialect_can_be_extended_or_replaced() {
    let more = "name = \"pardot\"\nextend = true\n[aliases]\nsubject = [\"firstname\"]\n";
    let pardot = with(&[("pardot.toml", more)]).unwrap();
    let pardot = pardot.get("pardot").unwrap();
    assert_eq!(
        pardot.column_of("firstname"),
        LeadField::parse("subject"),
        "the operator's word counts"
    );
    assert_eq!(pardot.column_of("lastname"), LeadField::parse("last_name"));
    assert_eq!(pardot.paths.len(), 1);
    let own = with(&[("p.toml", "name = \"pardot\"\npaths = [\"/p\"]\n")]).unwrap();
    assert_eq!(own.get("pardot").unwrap().column_of("firstname"), None);
}

#[test]
fn a_wrong_file_names_place_line_and_the_nearest_word() {
    for (text, says) in [
        (
            "name = \"x\"\n[aliases]\nemial = [\"a\"]\n",
            "x.toml, line 3: unknown lead field `emial`; did you mean `email`?",
        ),
        ("name = \"x\"\npath = [\"/a\"]\n", "x.toml, line 2: unknown field `path`"),
        (
            "name = \"x\"\nalso = [\"generik\"]\n",
            "x.toml, line 2: also: unknown dialect `generik`; did you mean `generic`?",
        ),
        ("name = \"x\"\npaths = [\"a\"]\n", "x.toml, line 2: path `a` must begin with /"),
        (
            "name = \"x\"\nwraps = [\"a{b}\"]\n",
            "x.toml, line 2: `a{b}`: {b} is none of {n}, {hex} and {*}",
        ),
        (
            "name = \"x\"\nevent = \"leads\"\n",
            "x.toml, line 2: unknown event `leads`; did you mean `lead`?",
        ),
        (
            "name = \"x\"\n[opt_outs]\nemal = [\"a\"]\n",
            "x.toml, line 3: unknown channel `emal`; did you mean `email`?",
        ),
        (
            "name = \"x\"\n[[replies]]\nwhen = \"always\"\nbody = \"{recipt}\"\n",
            "x.toml, line 2: replies: unknown {recipt}; did you mean {receipt}?",
        ),
        (
            "name = \"x\"\n[[replies]]\nwhen = \"always\"\n[replies.error_codes]\nempti = \"E\"\n",
            "x.toml, line 2: replies: unknown reason `empti`; did you mean `empty`?",
        ),
        ("name = \"X\"\n", "x.toml: `name` is 1 to 40 of a-z 0-9 _"),
        (
            "name = \"pardott\"\nextend = true\n",
            "x.toml, line 2: extend = true, but there is no dialect `pardott`; did you mean `pardot`?",
        ),
    ] {
        let error = with(&[("x.toml", text)]).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
    let twice = with(&[("a.toml", "name = \"x\"\n"), ("b.toml", "name = \"x\"\n")]).unwrap_err();
    assert!(twice.contains("stands in two files"), "{twice}");
}
