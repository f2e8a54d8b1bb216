// One visitor, script off, who clicks a link to each page and sends the form on it. Prints, by page, where the browser stood before and after,
// as JSON; tests/it/browser/dialects.rs compares that with the warehouse.
//
//   node dialects.mjs CHROMIUM '[{"name": …, "link": …, "field": SELECTOR, "button": SELECTOR, "typed": …}, …]'

import { Browser } from "./browser.mjs";

const [chromium, list] = process.argv.slice(2);
const browser = await Browser.start(chromium);
const seen = {};

try {
  for (const { name, link, field, button, typed } of JSON.parse(list)) {
    await browser.open(link);
    const page = await browser.url();
    await browser.type(field, typed);
    seen[name] = { page, after: await browser.follow(button) };
  }
} finally {
  await browser.stop();
}
console.log(JSON.stringify(seen));
