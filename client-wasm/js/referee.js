// Referee's browser client: `import { join } from "referee"`. All that decides anything is in the
// wasm module; here are the page's means: sockets, timer, callbacks, and the place for the seat.

import init, { Core } from "./referee_glue.js";
import { Seat } from "./referee_seat.js";

/** What the client throws: `code` for programs, `message` for people. */
export class RefereeError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "RefereeError";
    this.code = code;
  }
}

/**
 * Joins a match, and resolves when its first state is there; rejects when refused for good.
 * Where nothing else is said, it is the match this page is for.
 */
export async function join(url, options) {
  if (options === undefined && Object.prototype.toString.call(url) === "[object Object]") {
    [url, options] = [undefined, url];
  }
  options ??= {};
  await load();
  const { address, game, match } = target(url, options);
  const seat = options.watch ? Seat.none() : await Seat.claim(`referee:${game}/${match}`);
  let core;
  try {
    core = checked(() => new Core({
      game,
      match,
      name: String(options.name ?? ""),
      params: options.params === undefined ? undefined : JSON.stringify(options.params),
      watch: Boolean(options.watch),
      token: seat.token ?? undefined,
      seed: Math.random(),
    }));
  } catch (error) {
    seat.release();
    throw error;
  }
  return new Promise((resolve, reject) => new Room(core, address, seat, { resolve, reject }).start());
}

let loaded;

/** Loads the module once; after a failure the next join tries again. */
function load() {
  const module_or_path = new URL("./referee_bg.wasm", import.meta.url);
  loaded ??= init({ module_or_path }).catch((error) => {
    loaded = undefined;
    throw new RefereeError("load", `the client could not be loaded: ${error.message}`);
  });
  return loaded;
}

/** Which match, and where. */
function target(url, options) {
  const meta = globalThis.document?.querySelector('meta[name="referee"]')?.content;
  const page = meta ? JSON.parse(meta) : {};
  const here = globalThis.location?.href;
  const address = new URL(url ?? here, here);
  const [, pathGame, pathMatch] = address.pathname.split("/");
  const given = url !== undefined && pathGame && pathMatch;
  const game = options.game ?? (given ? pathGame : page.game ?? pathGame) ?? "";
  const match = options.match ?? (given ? pathMatch : page.match ?? pathMatch) ?? "";
  address.protocol = { "http:": "ws:", "https:": "wss:" }[address.protocol] ?? address.protocol;
  address.pathname = `/${encodeURIComponent(game)}/${encodeURIComponent(match)}`;
  address.search = address.hash = "";
  return { address, game, match };
}

/** Runs something that may throw one of the module's errors. */
function checked(body) {
  try {
    return body();
  } catch (error) {
    throw error instanceof Error ? error : new RefereeError(error.code, error.message);
  }
}

/** Callbacks of one kind. What one of them throws is reported and keeps nobody else from being called. */
class Callbacks {
  #set = new Set();

  add(callback) {
    // Wrapped, so that the same function may be added twice.
    const entry = { callback };
    this.#set.add(entry);
    return () => void this.#set.delete(entry);
  }

  get isEmpty() { return this.#set.size === 0; }

  call(...args) {
    for (const { callback } of [...this.#set]) attempt(callback, ...args);
  }
}

function attempt(callback, ...args) {
  try {
    callback(...args);
  } catch (error) {
    // To the console and to window.onerror, as if nobody stood in between.
    queueMicrotask(() => { throw error; });
  }
}

/** What is seen at the shown moment of a match: it reads like the room. */
class Frame {
  #core;

  constructor(core) {
    this.#core = core;
  }

  get me() { return this.#core.shownMe(); }
  get tick() { return this.#core.shownTick(); }

  get(resource) { return checked(() => this.#core.shownGet(resource)); }
  entities(...components) { return checked(() => this.#core.shownEntities(components)); }
  entity(id) { return this.#core.shownEntity(id); }
}

/** A match as one player sees it. `referee.d.ts` describes it. */
class Room {
  #core;
  #address;
  #seat;
  #settle;
  #sockets = new Map();
  #timer;
  #telling = false;
  #entered = false;
  #changes = new Callbacks();
  #statuses = new Callbacks();
  #frames = new Callbacks();
  #frame;
  #drawing = false;
  #events = new Map();
  #leaves = new Callbacks();
  #game;
  #match;

  constructor(core, address, seat, settle) {
    this.#core = core;
    this.#frame = new Frame(core);
    this.#address = address;
    this.#seat = seat;
    this.#settle = settle;
    [, this.#game, this.#match] = address.pathname.split("/");
  }

  /** For `join` alone. */
  start() {
    this.#step((core, now) => core.timeout(now));
  }

  get game() { return this.#game; }
  get match() { return this.#match; }
  get status() { return this.#core.status(); }
  get reason() { return this.#core.reason(); }
  get seat() { return this.#core.seat() ?? null; }
  get me() { return this.#core.me(); }
  get ping() { return this.#core.ping() ?? null; }
  get tick() { return this.#core.tick(); }
  get metrics() { return this.#core.metrics(); }
  get schema() { return this.#core.schema(); }
  get result() { return JSON.parse(this.#core.result() ?? "null"); }

  get(resource) { return checked(() => this.#core.get(resource)); }
  entities(...components) { return checked(() => this.#core.entities(components)); }
  entity(id) { return this.#core.entity(id); }

  onChange(callback) {
    const stop = this.#changes.add(callback);
    if (this.#core.hasState()) attempt(callback);
    return stop;
  }

  onFrame(callback) {
    const stop = this.#frames.add(callback);
    if (!this.#drawing) this.#draw();
    return stop;
  }

  onEvent(name, callback) {
    checked(() => this.#core.checkEvent(name));
    if (!this.#events.has(name)) this.#events.set(name, new Callbacks());
    return this.#events.get(name).add(callback);
  }

  onLeave(callback) {
    return this.#leaves.add(callback);
  }

  onStatus(callback) {
    return this.#statuses.add(callback);
  }

  send(action, value) {
    this.#step((core) => checked(() => core.send(action, value)));
  }

  input(input, value) {
    this.#step((core, now) => checked(() => core.input(now, input, value)));
  }

  leave() {
    this.#step((core) => core.leave());
  }

  /** Asks for the next picture for as long as someone wants it. */
  #draw() {
    this.#drawing = !this.#frames.isEmpty;
    if (!this.#drawing) return;
    // The picture's own time: it is even, the moment of the call is not.
    requestAnimationFrame((time) => {
      if (!this.#frames.isEmpty && this.#core.show(time)) this.#frames.call(this.#frame);
      this.#draw();
    });
  }

  /** Does something with the session, then what the session wants, then tells what happened. */
  #step(body) {
    body(this.#core, performance.now());
    this.#obey();
    this.#tellAll();
    this.#arm();
  }

  #tellAll() {
    // A callback that sends something gets here as well; the outer turn tells the rest.
    if (this.#telling) return;
    this.#telling = true;
    for (let event; (event = this.#core.nextEvent()); ) {
      this.#tell(event);
      if (event.kind === "state" && !this.#entered) {
        this.#entered = true;
        // What came along waits until the page has its room and has said what it listens to.
        setTimeout(() => {
          this.#telling = false;
          this.#step(() => {});
        });
        return;
      }
    }
    this.#telling = false;
  }

  #obey() {
    for (let output; (output = this.#core.nextOutput()); ) {
      if (output.kind === "connect") this.#connect(output);
      else if (output.kind === "send") this.#sockets.get(output.link)?.send(output.frame);
      else if (output.kind === "disconnect") this.#disconnect(output);
      else this.#seat.keep(output.token);
    }
  }

  #tell(event) {
    switch (event.kind) {
      case "state":
        this.#settle.resolve(this);
        this.#changes.call();
        break;
      case "left":
        for (const { id, gone } of event.entities) this.#leaves.call(id, gone);
        break;
      case "ended":
        this.#changes.call();
        break;
      case "event":
        this.#events.get(event.name)?.call(event.value, event.tick);
        break;
      case "status":
        if (this.status === "closed") this.#close();
        this.#statuses.call(this.status);
        break;
      case "warning":
        console.warn(`referee: ${event.text}`);
    }
  }

  #close() {
    this.#seat.release();
    const { code, message } = this.reason;
    this.#settle.reject(new RefereeError(code, message));
  }

  #connect({ link }) {
    const socket = new WebSocket(this.#address);
    socket.binaryType = "arraybuffer";
    // What comes from a socket given up means nothing any more.
    const on = (type, body) => socket.addEventListener(type, (event) => {
      if (this.#sockets.get(link) === socket) this.#step((core, now) => body(core, now, event));
    });
    on("open", (core, now) => core.opened(now, link));
    // Text is no frame; a lane that there is not says so to the session.
    on("message", (core, now, { data }) => {
      core.frame(now, link, typeof data === "string" ? Uint8Array.of(255) : new Uint8Array(data));
    });
    on("close", (core, now, { code, reason }) => {
      this.#sockets.delete(link);
      core.closed(now, link, code, reason);
    });
    this.#sockets.set(link, socket);
  }

  #disconnect({ link, code, reason }) {
    const socket = this.#sockets.get(link);
    this.#sockets.delete(link);
    socket?.close(code, reason);
  }

  #arm() {
    clearTimeout(this.#timer);
    const at = this.#core.nextTimeout();
    if (at === undefined) return;
    const wait = Math.max(0, Math.ceil(at - performance.now()));
    this.#timer = setTimeout(() => this.#step((core, now) => core.timeout(now)), wait);
  }
}
