// A real browser with script switched off, moved by mouse and keyboard only.
//
// In: the path of Chromium. Out: a Browser that opens pages, clicks and types. Refuses: to wait longer than WAIT_MS. Promises: no
// script runs in any page, and none is used to drive it: elements are found in the DOM and clicked where they stand.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Longer than any page takes on a busy machine.
const WAIT_MS = 30_000;

// What people's browsers send; a headless one names itself and would be judged a bot.
const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";

export class Browser {
  static async start(chromium) {
    const profile = mkdtempSync(join(tmpdir(), "leadtrail-browser-"));
    const flags = [
      "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
      "--remote-debugging-pipe", `--user-data-dir=${profile}`, `--user-agent=${USER_AGENT}`, "--lang=en-GB",
    ];
    const child = spawn(chromium, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const browser = new Browser(child, profile);
    await browser.attach();
    return browser;
  }

  constructor(child, profile) {
    this.child = child;
    this.profile = profile;
    this.next = 1;
    this.answers = new Map();
    this.waiting = [];
    this.requests = [];
    let rest = "";
    child.stdio[4].setEncoding("utf8");
    child.stdio[4].on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages) this.take(JSON.parse(message));
    });
  }

  take(message) {
    if (message.id) {
      const { resolve, reject } = this.answers.get(message.id);
      this.answers.delete(message.id);
      if (message.error) reject(new Error(message.error.message));
      else resolve(message.result);
      return;
    }
    if (message.method === "Network.responseReceived") this.requests.push(message.params.response.url);
    for (const waiter of this.waiting.filter((one) => one.method === message.method)) waiter.resolve(message.params);
    this.waiting = this.waiting.filter((one) => one.method !== message.method);
  }

  send(method, params = {}, session = this.session) {
    const id = this.next++;
    const answer = new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
    this.child.stdio[3].write(JSON.stringify({ id, method, params, sessionId: session }) + "\0");
    return within(answer, method);
  }

  event(method) {
    return within(new Promise((resolve) => this.waiting.push({ method, resolve })), method);
  }

  async attach() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" }, undefined);
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true }, undefined);
    this.session = sessionId;
    await this.send("Page.enable");
    await this.send("Network.enable");
    await this.send("DOM.enable");
    await this.send("Emulation.setScriptExecutionDisabled", { value: true });
  }

  async url() {
    const { currentIndex, entries } = await this.send("Page.getNavigationHistory");
    return entries[currentIndex].url;
  }

  /// Opens a page, with everything that it loads.
  async open(url) {
    const loaded = this.event("Page.loadEventFired");
    await this.send("Page.navigate", { url });
    await loaded;
  }

  async node(selector) {
    const { root } = await this.send("DOM.getDocument", { depth: 0 });
    const { nodeId } = await this.send("DOM.querySelector", { nodeId: root.nodeId, selector });
    return nodeId;
  }

  /// An attribute's value; null when there is no such element or attribute.
  async attribute(selector, name) {
    const nodeId = await this.node(selector);
    if (!nodeId) return null;
    const { attributes } = await this.send("DOM.getAttributes", { nodeId });
    const at = attributes.indexOf(name);
    return at < 0 ? null : attributes[at + 1];
  }

  async press(selector) {
    const nodeId = await this.node(selector);
    if (!nodeId) throw new Error(`no ${selector} on ${await this.url()}`);
    await this.send("DOM.scrollIntoViewIfNeeded", { nodeId });
    const { quads } = await this.send("DOM.getContentQuads", { nodeId });
    const [x0, y0, , , x1, y1] = quads[0];
    const place = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, button: "left", clickCount: 1 };
    await this.send("Input.dispatchMouseEvent", { type: "mousePressed", ...place });
    await this.send("Input.dispatchMouseEvent", { type: "mouseReleased", ...place });
  }

  /// Clicks what leads to another page, and waits for that page with everything that it loads.
  async follow(selector) {
    const loaded = this.event("Page.loadEventFired");
    await this.press(selector);
    await loaded;
    return this.url();
  }

  async type(selector, text) {
    await this.press(selector);
    await this.send("Input.insertText", { text });
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    await this.send("Browser.close", {}, undefined).catch(() => this.child.kill("SIGKILL"));
    await within(ended, "the browser's end");
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms in vain for ${what}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
