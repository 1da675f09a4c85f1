// Where a tab keeps its seat. sessionStorage outlives a reload, which is wanted, but a browser that
// duplicates a tab copies it, and two tabs must never share a seat: so a seat is claimed for as
// long as the page lives, and who finds it claimed takes a new one.

/** How long a page waits for its own former life to let go of the seat. */
const RELOAD_MS = 500;
/** How long other tabs may take to say that the seat is theirs. */
const ANSWER_MS = 150;

/** A claim on the seat of one match in this tab. */
export class Seat {
  #key;
  #id;
  #let_go;
  /** The token to come back with, if there is one. */
  token;

  constructor(key, id, token, letGo) {
    this.#key = key;
    this.#id = id;
    this.token = token;
    this.#let_go = letGo;
  }

  /** For those who only watch. */
  static none() {
    return new Seat(null, null, null, () => {});
  }

  /** The seat this tab has in a match, or room for a new one. */
  static async claim(key) {
    const kept = read(key);
    const letGo = kept && (await hold(`${key}#${kept.id}`));
    if (letGo) return new Seat(key, kept.id, kept.token, letGo);
    const id = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");
    return new Seat(key, id, null, (await hold(`${key}#${id}`, true)) ?? (() => {}));
  }

  /** Keeps a token for the next life of this page; null: forgets it. */
  keep(token) {
    this.token = token;
    if (this.#key === null) return;
    if (token !== null) write(this.#key, JSON.stringify({ id: this.#id, token }));
    else if (read(this.#key)?.id === this.#id) write(this.#key, null);
  }

  /** Lets others claim it. */
  release() {
    this.#let_go();
  }
}

// Storage may be forbidden altogether; then a reload is a new player.

function read(key) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key));
    return kept?.id && kept.token ? kept : null;
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    if (text === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  } catch {}
}

/** Holds a name for this page alone: how to let go of it, or null when another page holds it. */
function hold(name, isNew = false) {
  if (globalThis.navigator?.locks) return holdByLock(name);
  // Browsers offer locks on https and localhost only.
  if (globalThis.BroadcastChannel) return holdByChannel(name, isNew);
  return () => {};
}

function holdByLock(name) {
  return new Promise((resolve) => {
    const granted = () => new Promise((letGo) => resolve(letGo));
    // A lock request that does not end in time was aborted: someone else has it.
    navigator.locks
      .request(name, { signal: AbortSignal.timeout(RELOAD_MS) }, granted)
      .catch((error) => resolve(error.name === "SecurityError" ? () => {} : null));
  });
}

function holdByChannel(name, isNew) {
  const channel = new BroadcastChannel(name);
  return new Promise((resolve) => {
    const claimed = setTimeout(() => {
      channel.onmessage = ({ data }) => data === "whose?" && channel.postMessage("mine");
      resolve(() => channel.close());
    }, isNew ? 0 : ANSWER_MS);
    channel.onmessage = ({ data }) => {
      if (data !== "mine") return;
      clearTimeout(claimed);
      channel.close();
      resolve(null);
    };
    channel.postMessage("whose?");
  });
}
