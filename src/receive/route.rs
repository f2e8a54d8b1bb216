//! Routes: one match over path and method.
//!
//! In: a request. Out: its answer, counted. Refuses: unknown paths with a constant 404, wrong methods with 405 and `Allow`. Our own
//! routes come first; what is none of them, or names a form that isn't registered, may be a vendor's path on a host of a site's.
//! Promises: every request that arrives is counted when it arrives and when it is settled; no answer tells what exists.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HOST, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request};

use crate::check::clicks::Found;
use crate::check::dialects::doors;
use crate::check::{Refusal, visitor};
use crate::config::ProxyHeader;
use crate::ids::now_millis;
use crate::receive::pulse::Worth;
use crate::receive::record::{Answer, Denied};
use crate::receive::refuse::{self, Whom};
use crate::receive::reply::{self, Form, Reply, thanks};
use crate::receive::submission::Address;
use crate::receive::tally::{Door, Settled};
use crate::receive::visit::{Visit, looks_ahead};
use crate::receive::{
    Edge, affiliate, click, form, impression, open, pixel, postback, signed, unsubscribe,
};
use crate::tokens::{verify_receipt, verify_refusal};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// A path, read.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
enum Route<'a> {
    Form(&'a str),
    Rendered(&'a str),
    Click(&'a str),
    Affiliate(&'a str, &'a str),
    Signed(&'a str),
    Open(&'a str),
    Unsubscribe(&'a str),
    Impression,
    Pixel,
    /// The same for a frame.
    Frame,
    /// A network's own click address.
    Vendor(Found<'a>),
    /// A name, and the path after it.
    Postback(&'a str, &'a str),
    Receipt(&'a str),
    Robots,
    Unknown,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Self {
        let mut parts = path.strip_prefix('/').unwrap_or("").split('/');
        let (first, second, third, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
        match (first.unwrap_or(""), second, third, rest) {
            // Some pages end every address with a slash; no lead is lost to that.
            ("f", Some(form), None | Some(""), None) => Self::Form(form),
            ("f", Some(form), Some("time"), None) => Self::Rendered(form),
            ("c", Some(link), None, None) => Self::Click(link),
            ("a", Some(affiliate), Some(offer), None) => Self::Affiliate(affiliate, offer),
            // No token of ours has a point; another system's form may stand at `/u/register.php`.
            ("r", Some(token), None, None) if !token.contains('.') => Self::Signed(token),
            ("u", Some(token), None, None) if !token.contains('.') => Self::Unsubscribe(token),
            ("o", Some(image), None, None) => {
                image.strip_suffix(".gif").map_or(Self::Unknown, Self::Open)
            }
            ("i.gif", None, None, None) => Self::Impression,
            ("x.gif", None, None, None) => Self::Pixel,
            ("x.html", None, None, None) => Self::Frame,
            ("receipt", Some(receipt), None, None) => Self::Receipt(receipt),
            ("postback", Some(name), _, _) if !name.is_empty() => {
                let after = &path["/postback/".len() + name.len()..];
                Self::Postback(name, after.strip_prefix('/').unwrap_or(after))
            }
            ("robots.txt", None, None, None) => Self::Robots,
            _ => Self::Unknown,
        }
    }

    fn door(self) -> Door {
        match self {
            Self::Form(_) | Self::Rendered(_) => Door::Form,
            Self::Click(_) => Door::Click,
            Self::Signed(_) => Door::Signed,
            Self::Unsubscribe(_) => Door::Unsubscribe,
            Self::Affiliate(..) | Self::Vendor(_) => Door::Affiliate,
            Self::Open(_) => Door::Open,
            Self::Impression => Door::Impression,
            Self::Pixel | Self::Frame => Door::Pixel,
            Self::Postback(..) => Door::Postback,
            Self::Receipt(_) => Door::Receipt,
            Self::Robots | Self::Unknown => Door::Other,
        }
    }

    /// The methods it takes, as `Allow` names them; `None` where there is no door, whatever the method.
    fn methods(self) -> Option<&'static str> {
        match self {
            Self::Form(_) => Some("GET, POST, OPTIONS"),
            Self::Unsubscribe(_) | Self::Postback(..) => Some("GET, HEAD, POST"),
            Self::Unknown => None,
            _ => Some("GET, HEAD"),
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Form(_) => [Method::GET, Method::POST, Method::OPTIONS].contains(method),
            Self::Unsubscribe(_) | Self::Postback(..) if *method == Method::POST => true,
            _ => *method == Method::GET || *method == Method::HEAD,
        }
    }
}

/// Answers one request.
pub async fn answer(edge: &Edge, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let route = route_of(edge, &parts);
    let vendor = vendor_door(edge, route, &parts);
    let kind = if vendor.is_some() { Door::Form } else { route.door() };
    let open = edge.metrics.received(kind);
    let answer = match (wrong_method(edge, route, vendor.as_ref(), &parts), &vendor) {
        (Some(answer), _) => answer,
        (None, Some(door)) => {
            let visit = visit(edge, peer, kind, &parts);
            at_form(&visit, Address::Vendor(door), body).await
        }
        (None, None) => dispatch(edge, peer, route, &parts, body).await,
    };
    if let Settled::Refused(refusal) = answer.settled {
        edge.refusals.count(kind, refusal, answer.about, now_millis());
    }
    open.settle(answer.settled);
    answer.reply
}

/// Our own routes first; then the networks' own paths, at the hosts that `sites.toml` enables.
fn route_of<'a>(edge: &'a Edge, parts: &'a Parts) -> Route<'a> {
    let route = Route::of(parts.uri.path());
    if !matches!(route, Route::Unknown) {
        return route;
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if matches!(parts.method, Method::GET | Method::HEAD) {
        let query = parts.uri.query().unwrap_or("");
        if let Some(found) = edge.networks.find(host, parts.uri.path(), query) {
            return Route::Vendor(found);
        }
    }
    let vendor = edge.postbacks.by_path(host, parts.uri.path());
    vendor.map_or(route, |(name, rest)| Route::Postback(name, rest))
}

/// The vendor's path that is meant, where none of ours is.
fn vendor_door<'a>(edge: &'a Edge, route: Route<'_>, parts: &Parts) -> Option<doors::Door<'a>> {
    let ours = match route {
        Route::Unknown => false,
        Route::Form(name) => edge.registry.form(name).is_some(),
        _ => true,
    };
    if ours {
        return None;
    }
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    edge.doors.find(host.unwrap_or(""), parts.uri.path(), parts.uri.query().unwrap_or(""))
}

async fn at_form(visit: &Visit<'_>, address: Address<'_>, body: Incoming) -> Answer {
    if visit.parts.method == Method::OPTIONS {
        return form::preflight(visit, address);
    }
    form::answer(visit, address, body).await
}

/// Images answer as images, the other doors as the client likes.
fn form_of_reply(route: Route<'_>, parts: &Parts) -> Form {
    if matches!(route, Route::Open(_) | Route::Impression | Route::Pixel) {
        return Form::Gif;
    }
    let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    Form::preferred(accept, false)
}

fn refused(edge: &Edge, refusal: impl Into<Denied>, route: Route<'_>, parts: &Parts) -> Answer {
    let (form, denied) = (form_of_reply(route, parts), refusal.into());
    let leads_on = matches!(
        route,
        Route::Click(_)
            | Route::Signed(_)
            | Route::Affiliate(..)
            | Route::Vendor(_)
            | Route::Unsubscribe(_)
    );
    if leads_on && form == Form::Html && matches!(denied.refusal, Refusal::NotFound | Refusal::Gone)
    {
        return refuse::link(edge, &parts.headers, denied.refusal);
    }
    refuse::answer(edge, &parts.headers, &denied, form, Whom::default())
}

/// What a receipt or a refusal's reference says. Both prove themselves: neither log nor warehouse is asked.
fn receipt(edge: &Edge, token: &str, route: Route<'_>, parts: &Parts) -> Result<Answer, Denied> {
    let (form, frame) = (form_of_reply(route, parts), refuse::frame(edge, None));
    let texts = refuse::texts(&parts.headers, None, None);
    if let Some(id) = verify_receipt(&edge.keys, token) {
        return Ok(Answer::answered(thanks::received(form, texts, frame, token, id.millis())));
    }
    let claim = verify_refusal(&edge.keys, token).ok_or(Refusal::NotFound)?;
    Ok(Answer::answered(thanks::refused(form, texts, frame, token, &claim)))
}

/// The answer where there is no door, or one that doesn't take this method.
fn wrong_method(
    edge: &Edge,
    route: Route<'_>,
    vendor: Option<&doors::Door<'_>>,
    parts: &Parts,
) -> Option<Answer> {
    // A browser that looks ahead submits no form; the visit itself will come without the word.
    let ahead = parts.method == Method::GET && looks_ahead(&parts.headers);
    let (takes, methods) = match vendor {
        Some(door) => {
            let dialects = &edge.doors.dialects;
            let takes = |method: &str| {
                door.candidates.iter().any(|one| dialects.at(one.dialect).takes(method))
            };
            let known = takes(parts.method.as_str()) || parts.method == Method::OPTIONS;
            // Some systems post to any path; that is no reason to tell every stranger that there is a door.
            if !known && door.candidates.iter().all(|one| one.vague) {
                return Some(refused(edge, Refusal::NotFound, route, parts));
            }
            (known && !ahead, if takes("GET") { "GET, POST, OPTIONS" } else { "POST, OPTIONS" })
        }
        None => match route.methods() {
            None => return Some(refused(edge, Refusal::NotFound, route, parts)),
            // A form with method GET has fields; without any, somebody only followed its address.
            Some(methods) if matches!(route, Route::Form(_)) => {
                let looked_at = parts.method == Method::GET && parts.uri.query().is_none();
                (route.takes(&parts.method) && !looked_at && !ahead, methods)
            }
            Some(methods) => (route.takes(&parts.method), methods),
        },
    };
    if takes {
        return None;
    }
    let mut answer = refused(edge, Refusal::MethodNotAllowed, route, parts);
    reply::allow(&mut answer.reply, methods);
    Some(answer)
}

fn visit<'a>(edge: &'a Edge, peer: IpAddr, door: Door, parts: &'a Parts) -> Visit<'a> {
    let header = edge.settings.proxy_header;
    let name = match header {
        ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
        ProxyHeader::Forwarded => FORWARDED,
    };
    let forwarded = parts.headers.get_all(name).iter().rev();
    let lines = forwarded.filter_map(|line| line.to_str().ok());
    let trusted = &edge.settings.trusted_proxies;
    let client = visitor::client(peer, trusted, header, lines);
    let by_proxy = visitor::is_one_of(peer, trusted);
    let counts = !matches!(door, Door::Receipt | Door::Other | Door::Postback)
        && parts.method != Method::OPTIONS;
    let standing = counts.then(|| edge.limits.client(client));
    Visit { edge, parts, now_ms: now_millis(), client, by_proxy, standing }
}

async fn dispatch(
    edge: &Edge,
    peer: IpAddr,
    route: Route<'_>,
    parts: &Parts,
    body: Incoming,
) -> Answer {
    let visit = visit(edge, peer, route.door(), parts);
    let result = match route {
        Route::Open(_) | Route::Impression | Route::Rendered(_)
            if edge.pulse.is_too_late_for(Worth::Counted) =>
        {
            Err(Refusal::Overloaded.into())
        }
        Route::Form(name) => match own_form(edge, name) {
            Some(address) => Ok(at_form(&visit, address, body).await),
            None => Err(Refusal::NotFound.into()),
        },
        Route::Rendered(name) => form::rendered(&visit, name),
        Route::Click(name) => click::answer(&visit, name).await,
        Route::Signed(token) => signed::answer(&visit, token).await,
        Route::Unsubscribe(token) => unsubscribe::answer(&visit, token, body).await,
        Route::Affiliate(affiliate, offer) => affiliate::answer(&visit, affiliate, offer).await,
        Route::Vendor(found) => affiliate::vendor(&visit, found).await,
        Route::Open(token) => open::answer(&visit, token).await,
        Route::Impression => impression::answer(&visit).await,
        Route::Pixel => pixel::answer(&visit).await,
        Route::Frame => pixel::answer_frame(&visit).await,
        Route::Postback(name, rest) => postback::answer(&visit, name, rest, body).await,
        Route::Receipt(token) => receipt(edge, token, route, parts),
        Route::Robots => Ok(Answer::answered(reply::robots())),
        Route::Unknown => Err(Refusal::NotFound.into()),
    };
    result.unwrap_or_else(|denied| refused(edge, denied, route, parts))
}

fn own_form<'a>(edge: &'a Edge, name: &str) -> Option<Address<'a>> {
    let form = edge.registry.form(name)?;
    Some(Address::Own(form, edge.registry.site(&form.site)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_meaning() {
        assert_eq!(Route::of("/f/contact"), Route::Form("contact"));
        assert_eq!(Route::of("/f/contact/"), Route::Form("contact"));
        assert_eq!(Route::of("/f/contact/time"), Route::Rendered("contact"));
        assert_eq!(Route::of("/u/AQ-_"), Route::Unsubscribe("AQ-_"));
        assert_eq!(Route::of("/u/register.php"), Route::Unknown);
        assert_eq!(Route::of("/a/blogger/spring"), Route::Affiliate("blogger", "spring"));
        assert_eq!(Route::of("/x.html"), Route::Frame);
        assert_eq!(Route::of("/postback/cj"), Route::Postback("cj", ""));
        assert_eq!(
            Route::of("/postback/rollerads/r1/aid/2"),
            Route::Postback("rollerads", "r1/aid/2")
        );
        for unknown in [
            "/postback",
            "/postback/",
            "",
            "/",
            "*",
            "/f",
            "/f/a//",
            "/f/a/b",
            "/a/x",
            "/a/x/y/z",
            "//f/a",
            "/C/x",
            "/x.htm",
            "/robots.txt/",
        ] {
            assert_eq!(Route::of(unknown), Route::Unknown, "{unknown}");
        }
    }
}
