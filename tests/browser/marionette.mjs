// Firefox with script switched off, moved by its own remote protocol (Marionette): no driver program is needed.
//
// In: the path of Firefox and a port. Out: the same few acts as browser.mjs. Refuses: to wait longer than WAIT_MS. Promises: no page's script runs:
// `javascript.enabled` is false before the first page is opened.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WAIT_MS = 60_000;

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

export class Firefox {
  static async start(program, port) {
    const profile = mkdtempSync(join(tmpdir(), "leadtrail-firefox-"));
    const preferences = {
      "javascript.enabled": false, "marionette.port": port, "intl.accept_languages": "en-GB, en",
      "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false,
      "toolkit.telemetry.enabled": false, "app.normandy.enabled": false, "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false, "browser.safebrowsing.update.enabled": false,
    };
    const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
    writeFileSync(join(profile, "user.js"), lines.join(""));
    const arguments_ = ["--headless", "--marionette", "--no-remote", "--profile", profile];
    const child = spawn(program, arguments_, { stdio: "ignore" });
    const browser = new Firefox(child, profile);
    await browser.attach(port);
    return browser;
  }

  constructor(child, profile) {
    this.child = child;
    this.profile = profile;
    this.next = 1;
    this.answers = new Map();
  }

  async attach(port) {
    const end = Date.now() + WAIT_MS;
    while (!this.socket) {
      if (Date.now() > end) throw new Error("Firefox does not open its remote port");
      this.socket = await new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("connect", () => resolve(socket));
        socket.once("error", () => setTimeout(() => resolve(null), 200));
      });
    }
    let bytes = Buffer.alloc(0);
    this.socket.on("data", (more) => {
      bytes = Buffer.concat([bytes, more]);
      for (let at; (at = bytes.indexOf(":")) > 0; ) {
        const length = Number(bytes.subarray(0, at));
        if (bytes.length < at + 1 + length) break;
        this.take(JSON.parse(bytes.subarray(at + 1, at + 1 + length)));
        bytes = bytes.subarray(at + 1 + length);
      }
    });
    await this.send("WebDriver:NewSession", { pageLoadStrategy: "normal" });
    await this.send("WebDriver:SetTimeouts", { implicit: 10_000, pageLoad: WAIT_MS });
  }

  take(message) {
    if (!Array.isArray(message)) return;
    const [, id, error, result] = message;
    const { resolve, reject } = this.answers.get(id);
    this.answers.delete(id);
    if (error) reject(new Error(`${error.error}: ${error.message}`));
    else resolve(result);
  }

  send(command, parameters = {}) {
    const id = this.next++;
    const text = JSON.stringify([0, id, command, parameters]);
    const answer = new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
    this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`waited in vain for ${command}`)), WAIT_MS);
    });
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }

  async open(url) {
    await this.send("WebDriver:Navigate", { url });
  }

  async url() {
    return (await this.send("WebDriver:GetCurrentURL")).value;
  }

  async element(selector) {
    const found = await this.send("WebDriver:FindElement", { using: "css selector", value: selector });
    return found.value[ELEMENT];
  }

  async press(selector) {
    await this.send("WebDriver:ElementClick", { id: await this.element(selector) });
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
    await this.send("WebDriver:ElementSendKeys", { id: await this.element(selector), text });
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    await this.send("Marionette:Quit", { flags: ["eForceQuit"] }).catch(() => this.child.kill("SIGKILL"));
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
