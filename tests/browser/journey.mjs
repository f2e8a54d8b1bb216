// A visitor's way through the demo shop, script off. Prints what it saw as JSON; tests/it/browser.rs compares that with the
// warehouse and the reports.
//
//   node journey.mjs CHROMIUM SHOP_URL REPORTS_URL

import { Browser } from "./browser.mjs";

const [chromium, shop, reports] = process.argv.slice(2);
const browser = await Browser.start(chromium);
const seen = {};

async function post(email) {
  await browser.type("input[name=first_name]", "Jane");
  await browser.type("input[name=last_name]", "Roe");
  await browser.type("input[name=email]", email);
  await browser.type("textarea[name=message]", "Is it = waterproof?");
  return browser.follow("form button");
}

try {
  // The newspaper shows two ads; a click on one leads to the shop with a click id in the URL and, from there, in the form.
  await browser.open(`${shop}/`);
  seen.landing = await browser.follow("a[href$='/c/summer-ad']");
  seen.hidden = await browser.attribute("input[name=lt]", "value");
  seen.afterForm = await post("by.click.id@example.com");

  // A page that knows no click id.
  await browser.open(`${shop}/contact`);
  seen.hiddenOnContact = await browser.attribute("input[name=lt]", "value");
  seen.afterContact = await post("without.click.id@example.com");

  // Buying: the thank-you page's pixel reports the sale. Loading that page again must not sell again.
  await browser.open(seen.landing);
  seen.thankYou = await browser.follow("a.button");
  await browser.open(seen.thankYou);

  // The blogger's link: a question, and a sale.
  await browser.open(`${shop}/`);
  seen.affiliateLanding = await browser.follow("a[href*='/a/blogger/spring']");
  seen.afterAffiliate = await post("by.affiliate@example.com");
  await browser.open(seen.affiliateLanding);
  seen.affiliateThankYou = await browser.follow("a.button");

  // The mail: opening it loads the pixel, its link leads to the shop.
  await browser.open(`${shop}/mail`);
  seen.mailLanding = await browser.follow("a.button");

  await browser.open(`${reports}/?period=today`);
  seen.reportsUrl = await browser.url();
  seen.tables = (await browser.node("#reports table")) > 0;
  seen.requests = browser.requests;
} finally {
  await browser.stop();
}
console.log(JSON.stringify(seen));
