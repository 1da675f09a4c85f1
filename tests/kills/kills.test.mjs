// A server that is killed at random moments under load starts again on the same folder, and nothing
// that was answered is lost: the counter is a gated game.
//
// REFEREE_KILLS is how often; REFEREE_SEED makes a run the same again, as far as a kill can be.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, test } from 'node:test';

const binary = process.env.REFEREE_SERVER;
const kills = Number(process.env.REFEREE_KILLS ?? 5);
const seed = Number(process.env.REFEREE_SEED ?? Date.now() % 1_000_000);
const ROOMS = ['a', 'b', 'c'];
/** The longest the server is left alone, in milliseconds. */
const ALIVE_MAX_MS = 400;

/** Servers that are still up: a test that fails leaves none behind. */
const running = new Set();
afterEach(() => running.forEach((server) => server.kill('SIGKILL')));

/** Random numbers from 0 to 1 out of a seed (mulberry32). */
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts the server; resolves once it says where it is. */
async function start(data) {
  const server = spawn(binary, ['--port', '0', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => server.once('exit', (code, signal) => resolve({ code, signal })));
  let said = '';
  server.stderr.on('data', (text) => (said += text));
  for await (const line of createInterface({ input: server.stdout })) {
    const url = line.match(/http:\S+/)?.[0];
    if (url) {
      running.add(server);
      ended.then(() => running.delete(server));
      return { url, ended, said: () => said, signal: (name) => server.kill(name) };
    }
  }
  throw new Error(`the server did not start:\n${said}`);
}

/** Counts a room up; its new count, or null when the server was killed meanwhile. */
async function count(url, room) {
  try {
    const answer = await fetch(`${url}/counter/${room}/call`, { method: 'POST' });
    assert.equal(answer.status, 200, await answer.clone().text());
    return await answer.json();
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return null;
  }
}

test(`${kills} kills, seed ${seed}`, async () => {
  const random = generator(seed);
  const data = mkdtempSync(join(tmpdir(), 'referee-kills-'));
  const answered = Object.fromEntries(ROOMS.map((room) => [room, 0]));
  const faults = [];
  // A kill may strike after a room has counted and before it has answered.
  let unanswered = 0;
  for (let round = 0; round < kills; round++) {
    const server = await start(data);
    for (const room of ROOMS) {
      const now = await count(server.url, room);
      const least = answered[room] + 1;
      assert.ok(now >= least, `round ${round}: ${room} is ${now}, ${answered[room]} was answered`);
      assert.ok(now <= least + unanswered, `round ${round}: ${room} is ${now}, more than was asked`);
      answered[room] = now;
    }
    let alive = true;
    const load = ROOMS.map(async (room) => {
      while (alive) {
        const now = await count(server.url, room);
        if (now === null) return;
        assert.equal(now, answered[room] + 1, `round ${round}: ${room} counts by ones`);
        answered[room] = now;
      }
    });
    await new Promise((resolve) => setTimeout(resolve, random() * ALIVE_MAX_MS));
    const planned = random() < 0.3;
    if (planned) alive = false;
    if (planned) await Promise.all(load);
    server.signal(planned ? 'SIGTERM' : 'SIGKILL');
    await Promise.all(load);
    alive = false;
    const end = await server.ended;
    if (planned) assert.equal(end.code, 0, server.said());
    unanswered = planned ? 0 : 1;
    faults.push(...server.said().split('\n').filter((line) => /ERROR/.test(line)));
  }
  assert.deepEqual(faults, [], 'every room came to the state it was in');
  rmSync(data, { recursive: true });
});

test('signals that come close together are one wish to stop', async () => {
  const data = mkdtempSync(join(tmpdir(), 'referee-kills-'));
  const server = await start(data);
  const rooms = Array.from({ length: 9 }, (_, n) => `r${n}`);
  for (const room of rooms) assert.equal(await count(server.url, room), 1);
  for (let n = 0; n < 5; n++) {
    server.signal('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal((await server.ended).code, 0, server.said());
  const again = await start(data);
  for (const room of rooms) assert.equal(await count(again.url, room), 2, room);
  again.signal('SIGTERM');
  await again.ended;
  rmSync(data, { recursive: true });
});
