//! The demo shop's pages.
//!
//! In: the settings, and what a URL brought (checked before). Out: HTML. Refuses: nothing. Promises: every value that isn't from
//! this file is escaped.

use super::{BOOTS, Brought, DemoSettings, Product, SHOES, SPRING_SHOES};
use crate::report::page::escape;

/// A page around a body.
fn page(settings: &DemoSettings, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - Leadtrail demo</title>\n<link rel=\"stylesheet\" href=\"/demo.css\">\n</head>\n<body>\n\
         <nav aria-label=\"Demo\"><a href=\"/\">Newspaper</a> <a href=\"/mail\">Mail</a> <a href=\"/contact\">Contact</a> \
         <a href=\"{app}\">Reports</a></nav>\n<main>\n{body}</main>\n</body>\n</html>\n",
        app = escape(&settings.app_url),
    )
}

/// An ad: a banner that links to the edge, and the pixel that says it was seen.
fn ad(settings: &DemoSettings, link: &str, ad: &str, product: Product) -> String {
    let edge = escape(&settings.edge_url);
    let Product { name, text, price, .. } = product;
    format!(
        "<aside class=\"ad {ad}\" aria-label=\"Advertisement\">\n<a href=\"{edge}/c/{link}\"><strong>{name}</strong> {text} \
         <b>{price} EUR</b></a>\n\
         <img src=\"{edge}/i.gif?ad={ad}&amp;price={price}&amp;currency=EUR\" width=\"1\" height=\"1\" alt=\"\">\n</aside>\n"
    )
}

/// A newspaper with two ads and a blogger's link.
pub(super) fn newspaper(settings: &DemoSettings) -> String {
    let edge = escape(&settings.edge_url);
    let body = format!(
        "<h1>Newsday</h1>\n{summer}\
         <article>\n<h2>Town plants a thousand trees</h2>\n\
         <p>Volunteers met before sunrise, and by noon the hill behind the station was green again. «We ran out of spades, not \
         of people», the mayor said.</p>\n</article>\n{winter}\
         <article>\n<h2>Our blogger runs the lake</h2>\n\
         <p>Twelve kilometres, two dogs, one heron, and \
         <a href=\"{edge}/a/blogger/spring?sub1=demo\">the shoes I would buy again</a>.</p>\n</article>\n\
         <p>There is also <a href=\"/mail\">a mail</a> in your inbox.</p>\n",
        summer = ad(settings, "summer-ad", "summer-shoes", SHOES),
        winter = ad(settings, "winter-ad", "winter-boots", BOOTS),
    );
    page(settings, "Newsday", &body)
}

/// A mail as a mail program shows it, with its link and its open pixel.
pub(super) fn mail(settings: &DemoSettings) -> String {
    let (edge, token) = (escape(&settings.edge_url), escape(&settings.mail_token));
    let body = format!(
        "<h1>Inbox</h1>\n<article class=\"mail\">\n\
         <p class=\"small\">From: The demo shop. Subject: Spring is here</p>\n\
         <p>Good morning, our running shoes are {price} EUR for readers of this mail.</p>\n\
         <p><a class=\"button\" href=\"{edge}/c/spring-mail-link\">See the shoes</a></p>\n\
         <img src=\"{edge}/o/{token}.gif\" width=\"1\" height=\"1\" alt=\"\">\n</article>\n",
        price = SPRING_SHOES.price,
    );
    page(settings, "Mail", &body)
}

/// A product's page: buy it, or ask about it.
pub(super) fn product(settings: &DemoSettings, product: Product, brought: &Brought) -> String {
    let click = brought.click.as_deref();
    let buy = match click {
        Some(click) => format!("/buy?product={}&amp;lt={}", product.key, escape(click)),
        None => format!("/buy?product={}", product.key),
    };
    let Product { name, text, price, .. } = product;
    let body = format!(
        "<h1>{name}</h1>\n<p>{text}</p>\n<p class=\"price\">{price} EUR</p>\n\
         <p><a class=\"button\" href=\"{buy}\">Buy now</a></p>\n<h2>Any questions?</h2>\n{}",
        form(settings, click)
    );
    page(settings, name, &body)
}

/// The form on a page that knows no click: it is joined by cookie or by the day's hash.
pub(super) fn contact(settings: &DemoSettings) -> String {
    let body = format!("<h1>Contact</h1>\n<p>We call you back.</p>\n{}", form(settings, None));
    page(settings, "Contact", &body)
}

/// A form as any web page may have it: only its `action` is ours.
fn form(settings: &DemoSettings, click: Option<&str>) -> String {
    let hidden = click.map_or(String::new(), |click| {
        format!("<input type=\"hidden\" name=\"lt\" value=\"{}\">\n", escape(click))
    });
    format!(
        "<form method=\"post\" action=\"{edge}/f/contact\">\n{hidden}\
         <input type=\"hidden\" name=\"retURL\" value=\"{shop}/thanks\">\n\
         <label>First name <input name=\"first_name\" autocomplete=\"given-name\" maxlength=\"100\"></label>\n\
         <label>Last name <input name=\"last_name\" autocomplete=\"family-name\" maxlength=\"100\"></label>\n\
         <label>E-mail <input name=\"email\" type=\"email\" autocomplete=\"email\" required maxlength=\"254\"></label>\n\
         <label>Telephone <input name=\"phone\" type=\"tel\" autocomplete=\"tel\" maxlength=\"40\"></label>\n\
         <label>Message <textarea name=\"message\" rows=\"3\" maxlength=\"2000\"></textarea></label>\n\
         <button>Send</button>\n</form>\n",
        edge = escape(&settings.edge_url),
        shop = escape(&settings.shop_url),
    )
}

/// The page after buying. Its pixel reports the sale, as a shop's thank-you page does.
pub(super) fn sold(settings: &DemoSettings, brought: &Brought) -> String {
    let product = brought.product.unwrap_or(SHOES);
    let mut pixel =
        format!("{}/x.gif?goal=sale&amount={}&currency=EUR", settings.edge_url, product.price);
    for (name, value) in [("order", &brought.order), ("lt", &brought.click)] {
        if let Some(value) = value {
            pixel.push_str(&format!("&{name}={value}"));
        }
    }
    let order = brought.order.as_deref().map_or(String::new(), |order| {
        format!("<p class=\"small\">Your order is {}.</p>\n", escape(order))
    });
    let body = format!(
        "<h1>Thank you for your order</h1>\n<p>{} for {} EUR.</p>\n{order}\
         <img src=\"{}\" width=\"1\" height=\"1\" alt=\"\">\n<p><a href=\"{}\">See it in the reports</a></p>\n",
        product.name,
        product.price,
        escape(&pixel),
        escape(&settings.app_url),
    );
    page(settings, "Thank you", &body)
}

/// The page after the form.
pub(super) fn thanks(settings: &DemoSettings) -> String {
    let body = format!(
        "<h1>Thank you</h1>\n<p>We have your message and call you back.</p>\n<p><a href=\"{}\">See it in the reports</a></p>\n",
        escape(&settings.app_url)
    );
    page(settings, "Thank you", &body)
}

/// The page for what isn't there.
pub(super) fn lost(settings: &DemoSettings) -> String {
    page(settings, "Not here", "<h1>Not here</h1>\n<p><a href=\"/\">To the newspaper</a></p>\n")
}
