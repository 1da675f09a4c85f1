// What the browser tests share: a scene is a server with its own data folder and a browser with
// any number of people in it. It fails when a page complains about anything that was not expected.
//
// No test sleeps: it waits until a page shows what should be there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const binary = process.env.REFEREE_SERVER ?? join(root, 'target/release/referee-examples');
const screenshots = process.env.REFEREE_SCREENSHOTS ?? join(root, 'target/screenshots');
const executablePath = join(root, 'tests/browser/chromium.sh');

/** Far more than anything here takes; only what never happens reaches it. */
const PATIENCE_MS = 20_000;

/** What Chromium says when the server is away, which a test may bring about. */
export const SERVER_AWAY = /WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE/;

/** What Chromium says when a page opened a second connection after half a second of silence, and closed
 * it unused because the first one spoke again: that is how it is meant, on a busy machine. */
export const SECOND_UNUSED = /WebSocket is closed before the connection is established/;

/** For `person` and `visit`: a small telephone, held upright. */
export const PHONE = { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true };

/** A test that plays on a real server, which may be given arguments. `body` gets the `Scene`. */
export function scene(name, body, { serverArgs = [] } = {}) {
  test(name, async () => {
    const scene = await Scene.open(name, serverArgs);
    try {
      await body(scene);
      assert.equal(scene.complaints.length, 0, 'no page may complain');
    } catch (error) {
      await scene.report();
      throw error;
    } finally {
      await scene.close();
    }
  });
}

/** A fresh name for a match, so that tests share nothing. */
export function freshMatch() {
  return `t-${Math.random().toString(36).slice(2, 12)}`;
}

/** Waits until `condition`, evaluated in the page with `argument`, is true. */
export async function until(page, condition, argument = null) {
  await page.waitForFunction(condition, argument, { timeout: PATIENCE_MS });
}

/** Waits until the page's room is open and has its first state. */
export async function untilOpen(page) {
  await until(page, () => window.room?.status === 'open');
}

/** Nothing of the page is cut off at the right. */
export async function assertFits(page) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
}

class Scene {
  /** @type {string[]} What pages complained about. */
  complaints = [];
  #expected = [];
  #pages = [];

  static async open(name, serverArgs) {
    const scene = new Scene();
    scene.name = name.replace(/[^a-z0-9]+/gi, '-').toLowerCase();
    scene.server = new Server(serverArgs);
    try {
      await scene.server.start();
      scene.browser = await launchBrowser();
    } catch (error) {
      await scene.server.destroy();
      throw error;
    }
    return scene;
  }

  /** One browser of its own, with its own storage: tabs opened in it share that. */
  async person(options = {}) {
    const context = await this.browser.newContext({
      viewport: { width: 900, height: 700 },
      ...options,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    context.on('page', (page) => this.#watch(page));
    return {
      open: async (path) => {
        const page = await context.newPage();
        await page.goto(new URL(path, this.server.url).href);
        return page;
      },
      close: () => context.close(),
    };
  }

  /** A page in a browser of its own. */
  async visit(path, options) {
    const person = await this.person(options);
    return person.open(path);
  }

  /** From now on, complaints that match are no fault. */
  expectComplaints(pattern) {
    this.#expected.push(pattern);
  }

  async screenshot(page, name) {
    mkdirSync(screenshots, { recursive: true });
    await page.screenshot({ path: join(screenshots, `${name}.png`) });
  }

  /** After a failure: what the pages showed, and what the server said. */
  async report() {
    for (const [index, page] of this.#pages.entries()) {
      const name = `failed-${this.name}-${index}`;
      const showed = await this.screenshot(page, name).then(
        () => `${name}.png`,
        () => 'it is closed',
      );
      console.log(`page ${index}, ${page.url()}: ${showed}`);
    }
    for (const complaint of this.complaints) console.log(`complaint: ${complaint}`);
    console.log(`the server said:\n${this.server.said}`);
  }

  async close() {
    await this.browser.close();
    await this.server.destroy();
  }

  #watch(page) {
    this.#pages.push(page);
    page.on('pageerror', (error) => this.#complain(page, `error: ${error.message}`));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        this.#complain(page, `${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
  }

  #complain(page, what) {
    if (!this.#expected.some((pattern) => pattern.test(what))) {
      this.complaints.push(`${page.url()}: ${what}`);
    }
  }
}

/** A server process; it can stop and come back at the same address with the same data. */
class Server {
  said = '';
  url = '';
  #data = mkdtempSync(join(tmpdir(), 'referee-test-'));
  #process = null;
  #args;

  constructor(args) {
    this.#args = args;
  }

  /** Starts it and waits for the line that says where it is. */
  async start() {
    const port = this.url === '' ? '0' : new URL(this.url).port;
    const server = spawn(binary, ['--port', port, '--data', this.#data, ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = server;
    server.stderr.setEncoding('utf8').on('data', (text) => (this.said += text));
    const address = await new Promise((resolve, reject) => {
      const begin = this.said.length;
      server.stdout.setEncoding('utf8').on('data', (text) => {
        this.said += text;
        const [found] = this.said.slice(begin).match(/http:\/\/\S+(?=\s)/) ?? [];
        if (found) resolve(found);
      });
      const fail = (what) => reject(new Error(`${binary} ${what}. It said:\n${this.said}`));
      server.once('error', (error) => fail(`cannot be started: ${error.message}`));
      server.once('exit', (code) => fail(`ended with ${code} before it was ready`));
      setTimeout(fail, PATIENCE_MS, 'did not say where it is').unref();
    });
    this.url = new URL(address).origin;
  }

  /** Ends it and waits for its end: SIGTERM is asking, SIGKILL is not. */
  async stop(signal = 'SIGTERM') {
    const server = this.#process;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return null;
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill(signal);
    const overdue = setTimeout(() => server.kill('SIGKILL'), PATIENCE_MS);
    const code = await ended;
    clearTimeout(overdue);
    return code;
  }

  async destroy() {
    await this.stop('SIGKILL');
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** Playwright gives it a fresh profile folder by itself, and removes that. */
function launchBrowser() {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Every part of the frame around the picture lies inside the window, and none upon another. */
export async function assertNothingCutOff(page) {
  await assertFits(page);
  const faults = await page.evaluate(() => {
    const panels = [...document.querySelectorAll('.panel')].filter((panel) => panel.offsetParent);
    const boxes = panels.map((panel) => ({ id: panel.id, box: panel.getBoundingClientRect() }));
    const outside = boxes.filter(
      ({ box }) => box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight,
    );
    const upon = boxes.flatMap((a, at) =>
      boxes
        .slice(at + 1)
        .filter(
          (b) =>
            a.box.left < b.box.right &&
            b.box.left < a.box.right &&
            a.box.top < b.box.bottom &&
            b.box.top < a.box.bottom,
        )
        .map((b) => `${a.id} lies upon ${b.id}`),
    );
    return [...outside.map(({ id }) => `${id} is cut off`), ...upon];
  });
  assert.deepEqual(faults, []);
}
