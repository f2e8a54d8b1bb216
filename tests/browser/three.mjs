// Three browsers, script off, on two sites: each follows an ad, loads pixels, opens a mail and submits forms; the table says how each lead was joined.
//
//   xvfb-run -a node tests/browser/three.mjs target/release/leadtrail > table.md
//
// In: the program's path; LEADTRAIL_ENGINE__LIBRARY as for the tests; LEADTRAIL_CHROMIUM, LEADTRAIL_FIREFOX, LEADTRAIL_WEBKIT_DRIVER and
// LEADTRAIL_MINIBROWSER where the browsers aren't at their usual places. Out: a Markdown table, and a line for each browser that is not installed: it is
// skipped, plainly. Exit code 1 when a lead was joined otherwise than DESIGN says, or there is no browser at all.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Browser } from "./browser.mjs";
import { Firefox } from "./marionette.mjs";
import { WebKit } from "./webkit.mjs";

const WAIT_MS = 120_000;
const from = (name, usual) => process.env[name] ?? usual;
const CHROMIUM = from("LEADTRAIL_CHROMIUM", "/usr/bin/chromium");
const FIREFOX = from("LEADTRAIL_FIREFOX", "/usr/bin/firefox-esr");
const DRIVER = from("LEADTRAIL_WEBKIT_DRIVER", "/usr/bin/WebKitWebDriver");
const MINIBROWSER = from("LEADTRAIL_MINIBROWSER", "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser");

/// What DESIGN.md, "Joining a form to its click", expects.
const EXPECTED = {
  "click id in the form": ["click_id", "two sites: the landing page has the click id in a hidden field"],
  "no click id, two sites": ["daily_hash", "two sites over http: the cookie is kept back (SameSite=Lax)"],
  "no click id, one site": ["cookie", "one site (another port): the cookie is sent"],
};

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function until(what, condition) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const answer = await condition().catch(() => null);
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function install(program) {
  const folder = mkdtempSync(join(tmpdir(), "leadtrail-three-"));
  const [edge, app, ops, shop, engine] = await Promise.all(Array.from({ length: 5 }, freePort));
  const sites = readFileSync(new URL("../../config/sites.toml", import.meta.url), "utf8");
  writeFileSync(join(folder, "sites.toml"), sites.replaceAll("localhost:8082", `localhost:${shop}`));
  const local = (port) => `127.0.0.1:${port}`;
  const environment = {
    DATA_DIR: join(folder, "data"), SITES_FILE: join(folder, "sites.toml"), ENGINE__HTTP_PORT: engine,
    EDGE__LISTEN: local(edge), EDGE__PUBLIC_URL: `http://${local(edge)}`, APP__LISTEN: local(app), APP__HOSTS: local(app),
    OPS__LISTEN: local(ops), DEMO__LISTEN: local(shop),
  };
  const named = Object.fromEntries(Object.entries(environment).map(([key, value]) => [`LEADTRAIL_${key}`, String(value)]));
  const log = openSync(join(folder, "log"), "w");
  const child = spawn(program, ["up", "--demo"], { env: { ...process.env, ...named }, stdio: ["ignore", log, log] });
  await until("the program", async () => (await fetch(`http://${local(ops)}/ready`)).ok);
  const access = JSON.parse(readFileSync(join(folder, "data/engine/access.json"), "utf8"));
  const ask = async (sql) => {
    const answer = await fetch(`http://127.0.0.1:${access.http_port}/?database=leadtrail`, {
      method: "POST",
      body: `${sql} FORMAT JSONEachRow`,
      headers: { "X-ClickHouse-User": "admin", "X-ClickHouse-Key": access.admin },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.slice(0, 300));
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  return { shop: `http://localhost:${shop}`, sameSite: `http://127.0.0.1:${shop}`, ask, stop };
}

async function journey(browser, name, { shop, sameSite, ask }) {
  const fill = async (way) => {
    const email = `${name}@${Object.keys(EXPECTED).indexOf(way)}.example`;
    await browser.type("input[name=last_name]", name);
    await browser.type("input[name=email]", email);
    return email;
  };
  const post = async (way) => {
    await fill(way);
    return browser.follow("form button");
  };
  await browser.open(`${shop}/`);
  const landing = await browser.follow("a[href$='/c/summer-ad']");
  if (!landing.startsWith(`${shop}/shoes?`) || !landing.includes("lt=")) throw new Error(`${name} landed on ${landing}`);
  const thanks = await post("click id in the form");
  if (!thanks.endsWith("/thanks")) throw new Error(`${name} was sent to ${thanks}`);
  await browser.open(`${shop}/contact`);
  await post("no click id, two sites");
  await browser.open(`${sameSite}/contact`);
  // The shop's own policy (CSP form-action) lets no browser follow the redirect from here to its other name; the post has arrived by then.
  const email = await fill("no click id, one site");
  await browser.press("form button");
  await until("that post", async () => (await ask(`SELECT 1 AS one FROM leads WHERE email = '${email}'`)).length);
  await browser.open(`${shop}/mail`);
  await browser.follow("a.button");
}

const LEADS = `SELECT lead.email AS email, toString(click.basis) AS basis, toString(click.ad) AS ad FROM leads AS lead
  INNER JOIN (SELECT * FROM conversion_clicks FINAL) AS click ON lead.id_seq = click.conversion_seq AND lead.id_node = click.conversion_node`;
const EVENTS = `SELECT toString(browser) AS browser, browser_major AS version, countIf(event_type = 'click') AS clicks,
  countIf(event_type = 'impression') AS impressions, countIf(event_type = 'email_open') AS opens, countIf(event_type = 'lead') AS leads,
  countIf(traffic_class = 'human') AS human, count() AS events, arrayStringConcat(arraySort(groupUniqArray(toString(fetch_dest))), ' ') AS fetch_dest
  FROM events FINAL GROUP BY 1, 2 ORDER BY 1`;

const browsers = [
  ["chromium", [CHROMIUM], () => Browser.start(CHROMIUM)],
  ["firefox", [FIREFOX], async () => Firefox.start(FIREFOX, await freePort())],
  ["webkit", [DRIVER, MINIBROWSER], async () => WebKit.start(DRIVER, MINIBROWSER, await freePort())],
];
const installation = await install(process.argv[2] ?? "target/release/leadtrail");
let wrong = 0;
const ran = [];
try {
  for (const [name, programs, start] of browsers) {
    const missing = programs.find((program) => !existsSync(program));
    if (missing) {
      console.log(`SKIPPED: ${name}, for there is no ${missing}\n`);
      continue;
    }
    const browser = await start();
    try {
      await journey(browser, name, installation);
      ran.push(name);
    } catch (error) {
      console.log(`FAILED: ${name}, at ${await browser.url().catch(() => "no page")}: ${error.message}\n`);
      wrong++;
    } finally {
      await browser.stop();
    }
  }
  const count = 3 * ran.length;
  const leads = await until("all leads, settled", async () => {
    const rows = await installation.ask(LEADS);
    return rows.length === count && rows.every((row) => row.basis !== "") && rows;
  });
  console.log("| browser | form | joined by | expected | ad |\n|---|---|---|---|---|");
  for (const name of ran) {
    for (const [place, [way, [expected, why]]] of Object.entries(EXPECTED).entries()) {
      const lead = leads.find((row) => row.email === `${name}@${place}.example`);
      if (lead?.basis !== expected || lead.ad !== "summer-shoes") wrong++;
      console.log(`| ${name} | ${way} | ${lead?.basis} | ${expected}: ${why} | ${lead?.ad} |`);
    }
  }
  console.log("\n| agent | clicks | impressions | opens | leads | judged human | Sec-Fetch-Dest |\n|---|---|---|---|---|---|---|");
  for (const row of await installation.ask(EVENTS)) {
    console.log(`| ${row.browser} ${row.version} | ${row.clicks} | ${row.impressions} | ${row.opens} | ${row.leads} | ${row.human} of ${row.events} | ${row.fetch_dest} |`);
  }
} finally {
  await installation.stop();
}
process.exit(wrong || !ran.length ? 1 : 0);
