// WebKitGTK's MiniBrowser with script switched off, moved by WebKitWebDriver. Needs a display: run below `xvfb-run`.
//
// In: the paths of both programs and a port. Out: the same few acts as browser.mjs. Refuses: to wait longer than WAIT_MS.

import { spawn } from "node:child_process";

const WAIT_MS = 60_000;

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

export class WebKit {
  static async start(driver, program, port) {
    const child = spawn(driver, [`--port=${port}`], { stdio: "ignore" });
    const browser = new WebKit(child, `http://127.0.0.1:${port}`);
    const options = { binary: program, args: ["--automation", "--enable-javascript=false"] };
    const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": options } };
    const end = Date.now() + WAIT_MS;
    for (;;) {
      try {
        const session = await browser.send("POST", "/session", { capabilities });
        browser.session = `/session/${session.sessionId}`;
        break;
      } catch (error) {
        if (Date.now() > end || !String(error.cause ?? error).includes("ECONNREFUSED")) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await browser.send("POST", `${browser.session}/timeouts`, { implicit: 10_000, pageLoad: WAIT_MS });
    return browser;
  }

  constructor(child, base) {
    this.child = child;
    this.base = base;
  }

  async send(method, path, body) {
    const answer = await fetch(this.base + path, {
      method,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(WAIT_MS),
    });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }

  async open(url) {
    await this.send("POST", `${this.session}/url`, { url });
  }

  async url() {
    return this.send("GET", `${this.session}/url`);
  }

  async element(selector) {
    const found = await this.send("POST", `${this.session}/element`, { using: "css selector", value: selector });
    return `${this.session}/element/${found[ELEMENT]}`;
  }

  async press(selector) {
    await this.send("POST", `${await this.element(selector)}/click`, {});
  }

  async follow(selector) {
    const before = await this.url();
    await this.press(selector);
    const end = Date.now() + WAIT_MS;
    while ((await this.url()) === before) {
      if (Date.now() > end) throw new Error(`${selector} leads nowhere from ${before}`);
    }
    return this.url();
  }

  async type(selector, text) {
    await this.send("POST", `${await this.element(selector)}/value`, { text });
  }

  async stop() {
    await this.send("DELETE", this.session).catch(() => {});
    this.child.kill();
  }
}
