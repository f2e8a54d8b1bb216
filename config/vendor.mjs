// Builds the data files of the enrich stage from their public sources.
//
//   node config/vendor.mjs                    agents/uap-core.json, agents/crawlers.json
//   node config/vendor.mjs LISTS_DIRECTORY    these and referrers.toml
//
// The agents come from npm, at the versions pinned here and checked against the hashes pinned here. LISTS_DIRECTORY is
// a checkout of matomo-org/searchengine-and-social-list (not on npm) at the commit named below.
// Run it by hand to renew the data, then raise RULESET in src/enrich/verdict.rs (a test reminds). The program itself
// reads JSON and TOML only, so that no YAML parser is linked in.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = [
  { name: "uap-core", version: "0.18.0", integrity: "sha512-Eh5pSzisem1e0wyG7b6qggehroFJNw+H6RdBkCX+4DjTfP9IbAw/zMiDfMZnCghyyRk1lkQZF8e6BRnRAQRr0w==" },
  { name: "crawler-user-agents", version: "1.60.0", integrity: "sha512-p8hKVsnZl3msolBhGW8s86V0tmmcuBSwhTXkzkegGQzTt0A/ysKDHKzek9fichfqL5qBEgDrR9CuGBU0Y7bDrg==" },
  { name: "yaml", version: "2.9.1", integrity: "sha512-3NxN8+78OdzbT7C/WjGsyfPAtJaN3FNDsWxv7Y7mcDsT/oOmgW8BpyQQFFBnvZE3j9Y2Sdz1ULFLezL7Eb2yFw==" },
];
const lists = "matomo-org/searchengine-and-social-list at 3b3a82dc83cd146abe17aafe31254de1c25f7844, CC0-1.0";
const here = dirname(fileURLToPath(import.meta.url));

/** Unpacks the pinned packages into `directory`/<name> and refuses one whose hash is another. */
function fetchPackages(directory) {
  for (const { name, version, integrity } of packages) {
    const file = execFileSync("npm", ["pack", "--silent", `${name}@${version}`], { cwd: directory, encoding: "utf8" }).trim();
    const found = "sha512-" + createHash("sha512").update(readFileSync(join(directory, file))).digest("base64");
    if (found !== integrity) throw new Error(`${name}@${version} has the hash ${found}, expected ${integrity}`);
    execFileSync("tar", ["xzf", file, "--one-top-level=" + name, "--strip-components=1"], { cwd: directory });
  }
}

/** One array element per line, so that a renewal shows as a readable difference. */
function lines(list) {
  return "[\n" + list.map((item) => JSON.stringify(item)).join(",\n") + "\n]";
}

/** uap-core's regexes.yaml as JSON: nothing is left out but comments; numbers become the text that ua-parser wants. */
function agents(directory, yaml) {
  const source = yaml.parse(readFileSync(join(directory, "uap-core/regexes.yaml"), "utf8"));
  const text = (parser) => Object.fromEntries(Object.entries(parser).map(([key, value]) => [key, String(value)]));
  const groups = ["user_agent_parsers", "os_parsers", "device_parsers"];
  const body = groups.map((group) => `${JSON.stringify(group)}:${lines(source[group].map(text))}`);
  writeFileSync(join(here, "agents/uap-core.json"), "{\n" + body.join(",\n") + "\n}\n");
  writeFileSync(join(here, "agents/LICENSE-uap-core"), readFileSync(join(directory, "uap-core/LICENSE")));
}

/**
 * Patterns that are dropped, because people send them: the build of an Android release that many telephones run, Meta's
 * in-app browser, and a shell that makes an application of a site.
 */
const people = ["AP3A\\.240617\\.008", "MetaIAB Facebook", "Fluid"];

/**
 * Patterns that are also a word, a telephone (HTC Butterfly, ViewSonic) or an application with a browser inside
 * (SogouMobileBrowser, Notion, WhatsApp). They count everywhere but in the agent of a plain browser.
 */
const ambiguous = `008\\/ Adventurer Asana\\/ AddThis Blackboard Bluesky\\/ Buck\\/ Bushbaby Butterfly Buttondown BW\\/ CapitalOneShopping
  Charlotte Chirp|gotosocial Daum\\/ Determ Devin Disqus ds9 EZID Expanse Feedly Fetch\\/ Fever Genieo GoPay Goodreads Grammarly\\/
  Grover\\/ Hatena HubSpot Instapaper\\/ Jumio Klaviyo\\/ Lemmy Magellan MailChimp Make\\/ Mastodon Moreover Netvibes NewsBlur
  NextCloud NING\\/ Notion\\/ Odin; Omnisend\\/ Operator\\/ Optimizer\\) Overcast\\/ PayPal\\/ PocketCasts\\/ Podimo Potions\\/ RED\\/
  Retool\\/ Salesforce\\.com Sogou Sonic Splunk Stripe\\/ Synapse Trove Trustly\\/ Tumblr\\/ Tweakers Upflow Uptime\\/ Verity\\/ Viber
  Wayback Webflow WhatsApp WordPress\\/ YaK\\/ Yeti Zapier axios eright fluffy ichiro inoreader linko mail\\.ru okhttp outbrain
  proximic speedy upday\\/ yanga`.split(/\s+/);

/** crawler-user-agents as [{pattern, tags, not_in_browsers?}], without descriptions and examples. */
function crawlers(directory) {
  const source = JSON.parse(readFileSync(join(directory, "crawler-user-agents/crawler-user-agents.json"), "utf8"));
  const known = new Set(source.map(({ pattern }) => pattern));
  const gone = [...people, ...ambiguous].filter((pattern) => !known.has(pattern));
  if (gone.length > 0) throw new Error(`no longer in the list: ${gone}`);
  const kept = source.filter(({ pattern }) => !people.includes(pattern)).map(({ pattern, tags }) =>
    ambiguous.includes(pattern) ? { pattern, tags, not_in_browsers: true } : { pattern, tags });
  writeFileSync(join(here, "agents/crawlers.json"), lines(kept) + "\n");
  writeFileSync(join(here, "agents/LICENSE-crawler-user-agents"), readFileSync(join(directory, "crawler-user-agents/LICENSE")));
}

/** What the list writes as a regular expression, as paths: `/a` begins with it, `*a` contains it, `/` is only the root. */
const paths = {
  "/^$/": "/", "/": "/", "/.*/": "*", "do/asearch": "/do/asearch", "do/search": "/do/search", "sp/search": "/sp/search",
  "/\\/r\\/.*/": "/r/", "/\\/cr\\?.*/": "/cr", "/\\/search(\\?.*)?/": "/search", "/\\/url\\?.*/": "/url",
  "redir\\?.*redir=.*/": "/redir", "link\\?url=.*/": "/link",
  "/s\\/([^\\/]+)/": "/s/", "/\\/[^\\/]+\\/ws\\/results\\/[^\\/]+\\/([^\\/]+)/": "*/ws/results/", "/\\/web\\/(.*)/": "/web/",
  "/\\/ws\\/(.*)/": "/ws/", "/\\/search\\/([^\\/]+)/": "/search/", "/search\\/[^\\/]+\\/(.*)/": "/search/",
  "/\\/search\\?q=cache:(?:[A-Za-z0-9]+):[^+]+([^&]+)/": "/search", "/\\/([^\\/]+)\\/index\\.html/": "*/index.html",
  "/(?:search|images|videos)\\/([^\\/]+)/": ["/search/", "/images/", "/videos/"],
};
function path(expression) {
  const found = paths[expression] ?? paths[expression.replace(/^\//, "")];
  if (!found) throw new Error(`no path is known for the expression ${expression}`);
  return found;
}

/** Left out: a sign-in and a redirect page, which the list has for networks closed since, and an address that is no host. */
const notReferrers = ["login.live.com", "url.google.com", "android-app//com.google.android.googlequicksearchbox/https/www.google.com"];

/** The three lists as TOML. Keywords, character sets and links back are left out: only the channel is asked for. */
function referrers(directory, yaml) {
  const read = (name) => Object.entries(yaml.parse(readFileSync(join(directory, name), "utf8")));
  const kept = (hosts) => hosts.filter((host) => !notReferrers.includes(host));
  const text = (value) => JSON.stringify(value);
  const simple = (name) => read(name).map(([site, hosts]) => [decodeURIComponent(site), kept(hosts)])
    .filter(([, hosts]) => hosts.length > 0).map(([site, hosts]) => `${text(site)} = ${text(hosts)}`);
  const engines = read("SearchEngines.yml").flatMap(([name, entries]) => entries.map((entry) => {
    const expressions = (entry.params ?? []).filter((param) => param.startsWith("/"));
    const params = (entry.params ?? []).filter((param) => !param.startsWith("/"));
    const open = new Set([...(entry.hiddenkeyword ?? []), ...expressions].flatMap(path));
    return `[[engine]]\nname = ${text(name)}\nhosts = ${text(kept(entry.urls))}\nparams = ${text(params)}\npaths = ${text([...open])}\n`;
  }));
  writeFileSync(join(here, "referrers.toml"), `# Search engines, social networks and AI assistants, by the host of a referrer. Made by vendor.mjs from
# ${lists}. Do not edit: own sites go into channels.toml.
#
# A host may end in a path (x.com/i/grok); the longest match wins. {} stands for a country: bing in de.bing.com, de or co.uk
# in google.{}. Networks and assistants match their subdomains too. An engine matches its own hosts only, and only where
# the query has one of its params or the path is one of its paths: "/" the root, "/a" what begins so, "*a" what contains a.

[assistants]
${simple("AIAssistants.yml").join("\n")}

[socials]
${simple("Socials.yml").join("\n")}

${engines.join("\n")}`);
}

const directory = mkdtempSync(join(tmpdir(), "vendor-"));
try {
  fetchPackages(directory);
  const yaml = createRequire(join(directory, "yaml/"))("./");
  agents(directory, yaml);
  crawlers(directory);
  if (process.argv[2]) referrers(process.argv[2], yaml);
} finally {
  rmSync(directory, { recursive: true });
}
