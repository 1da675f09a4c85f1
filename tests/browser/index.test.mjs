// The index page: which games there are, and a private match to share.

import assert from 'node:assert/strict';
import { PHONE, assertFits, scene, untilOpen } from './harness.mjs';

/** How many random bits each match id can hold, judged by the letters that all of them use. */
function bits(ids) {
  const alphabets = [
    [/^[0-9a-f]+$/, 4],
    [/^[0-9a-z]+$/, 5],
    [/^[0-9A-Za-z_-]+$/, 6],
  ];
  const [, each] = alphabets.find(([letters]) => letters.test(ids.join('')));
  return Math.min(...ids.map((id) => id.length * each));
}

/** Makes a private match of tic-tac-toe; answers the address it leads to. */
async function privateMatch(page) {
  const card = page.locator('[data-game="tic-tac-toe"]');
  await card.getByRole('button', { name: 'New private match' }).click();
  await page.waitForURL(/\/tic-tac-toe\/.+/);
  return new URL(page.url()).pathname;
}

scene('it lists the games', async (scene) => {
  const page = await scene.visit('/');
  for (const game of ['counter', 'tic-tac-toe']) {
    await page.locator(`[data-game="${game}"]`).waitFor({ state: 'visible' });
  }
  await scene.screenshot(page, 'index');
  await page.locator('[data-game="counter"]').getByRole('link', { name: 'Open' }).click();
  await page.waitForURL(/\/counter\/lobby$/);
  await untilOpen(page);
});

scene('it makes a fresh private match to share', async (scene) => {
  const page = await scene.visit('/');
  const first = await privateMatch(page);
  await untilOpen(page);
  const guest = await scene.visit(first);
  await untilOpen(guest);
  assert.equal(await guest.evaluate(() => window.room.seat !== null), true, 'the guest plays');

  const other = await privateMatch(await scene.visit('/'));
  assert.notEqual(first, other);
  const ids = [first, other].map((path) => path.split('/').at(-1));
  assert.ok(bits(ids) >= 80, `${ids} hold ${bits(ids)} random bits`);
});

scene('it fits a phone', async (scene) => {
  const page = await scene.visit('/', PHONE);
  await page.locator('[data-game="counter"]').waitFor({ state: 'visible' });
  await assertFits(page);
  await scene.screenshot(page, 'index-phone');
});

scene('the index is never cached', async (scene) => {
  const response = await fetch(scene.server.url);
  assert.match(response.headers.get('cache-control') ?? '', /no-store|no-cache/);
});
