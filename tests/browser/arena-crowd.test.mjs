// A crowd in the arena: bots beside people, for a minute.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  PHONE,
  SECOND_UNUSED,
  assertNothingCutOff,
  freshMatch,
  scene,
  until,
  untilOpen,
} from './harness.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const binary = process.env.REFEREE_LOADTEST ?? join(root, 'target/release/referee-loadtest');

/** With the two pages they are the 32 whom an arena seats unless told otherwise. */
const BOTS = 30;
const SECONDS = 60;

/** Runs bots in one arena whose name begins so, and gives their report. */
function bots(url, prefix) {
  const told = ['--url', url, '--game', 'arena', '--rooms', '1', '--players', `${BOTS}`];
  const run = spawn(
    binary,
    [...told, '--room-prefix', prefix, '--duration', `${SECONDS}s`, '--check', 'all', '--json', '-'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let [out, said] = ['', ''];
  run.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  run.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  return new Promise((resolve, reject) => {
    run.once('error', (error) => reject(new Error(`${binary} cannot be started: ${error.message}`)));
    run.once('close', (code) => {
      try {
        resolve(JSON.parse(out));
      } catch {
        reject(new Error(`the bots ended with ${code} and no report. They said:\n${said}`));
      }
    });
  });
}

/** Notes whatever this page's connection and its picture go through. */
const watch = (page) =>
  page.evaluate(() => {
    window.seen = { statuses: [], frames: 0, places: new Set() };
    room.onStatus((status) => seen.statuses.push(status));
    room.onFrame((frame) => {
      seen.frames += 1;
      for (const { id, Position } of frame.entities('Ship', 'Position')) {
        seen.places.add(`${id} ${Math.round(Position.x / 50)} ${Math.round(Position.y / 50)}`);
      }
    });
  });

/** On a small telephone, held either way, the score board of a crowd shows who plays, and covers nothing. */
async function assertFitsPhones(scene, page) {
  const { width, height } = PHONE.viewport;
  const before = page.viewportSize();
  for (const [name, size] of [
    ['upright', { width, height }],
    ['sideways', { width: height, height: width }],
  ]) {
    await page.setViewportSize(size);
    await until(page, (wide) => innerWidth === wide, size.width);
    await page.waitForSelector('#board li.me', { state: 'visible' });
    await assertNothingCutOff(page);
    await scene.screenshot(page, `arena-crowd-${name}`);
  }
  await page.setViewportSize(before);
}

/** A minute of bots and two pages in one arena: what the bots report, and the pages. */
async function minute(scene) {
  const prefix = freshMatch();
  const path = `/arena/${prefix}-0`;
  const pages = [await scene.visit(path), await scene.visit(path)];
  for (const page of pages) {
    await untilOpen(page);
    await watch(page);
  }
  const report = bots(scene.server.url, prefix);
  for (const page of pages) {
    await until(page, (all) => room.entities('Player').length === all, BOTS + 2);
  }
  await assertFitsPhones(scene, pages[1]);
  for (const page of pages) {
    await page.mouse.down();
    await page.keyboard.down('KeyD');
  }
  const found = await report;
  const seen = await Promise.all(pages.map((page) => page.evaluate(() => window.seen.statuses)));
  return { found, pages, statuses: seen.flat() };
}

scene(
  'thirty bots and two pages play a minute in one arena: no drop, no wrong state',
  async (scene) => {
    scene.expectComplaints(SECOND_UNUSED);
    let { found, pages, statuses } = await minute(scene);
    // Where the machine stood still for so long that the bots themselves were late, nobody was served.
    const held = () => found.drops === 0 && statuses.length === 0;
    for (let again = 1; !held() && !found.valid && again <= 2; again += 1) {
      const said = JSON.stringify([found.drops_by_code, statuses]);
      console.log(`the machine had no time: ${said}; another minute`);
      assert.equal(found.wrong, 0, 'no state is wrong then either');
      for (const page of pages) await page.goto('about:blank');
      ({ found, pages, statuses } = await minute(scene));
    }
    assert.equal(found.joined, BOTS, 'all bots are in');
    assert.equal(found.drops, 0, JSON.stringify(found.drops_by_code));
    assert.deepEqual(statuses, [], 'the connections of the pages held');
    assert.equal(found.wrong, 0, 'no state is wrong');
    assert.equal(found.decoding, BOTS, 'all bots decode what they get');
    assert.ok(found.states_checked > BOTS * SECONDS, `${found.states_checked} states were checked`);
    for (const page of pages) {
      const seen = await page.evaluate(() => ({ ...window.seen, places: seen.places.size }));
      assert.ok(seen.frames > 5 * SECONDS, `${seen.frames} frames in a minute`);
      assert.ok(seen.places > 10 * BOTS, 'it saw the ships fly about');
    }
    await scene.screenshot(pages[0], 'arena-crowd');
    const { p50, p99, max } = found.latency_ms;
    console.log(`input to state, ms: p50 ${p50}, p99 ${p99}, max ${max}; valid: ${found.valid}`);
  },
  { serverArgs: ['--test-mode'] },
);
