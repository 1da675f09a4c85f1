// The README's game, built outside the workspace, has a page without having written one.

import assert from 'node:assert/strict';
import { freshMatch, scene, until, untilOpen } from '../browser/harness.mjs';

scene('a game without a page of its own is played in the default page', async (scene) => {
  const path = `/counter/${freshMatch()}`;
  const first = await scene.visit(path);
  const second = await scene.visit(path);
  await Promise.all([untilOpen(first), untilOpen(second)]);
  assert.equal(await first.evaluate(() => window.room.get('Count')), 0);

  await first.getByRole('button', { name: /press/i }).click();
  await second.getByRole('button', { name: /press/i }).click();
  for (const page of [first, second]) {
    await until(page, () => window.room.get('Count') === 2);
    await until(page, () => /\b2\b/.test(document.body.innerText));
  }
  await scene.screenshot(first, 'outside');
});
