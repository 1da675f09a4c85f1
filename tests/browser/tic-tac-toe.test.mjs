// Tic-tac-toe as people play it: by clicking on what they see.

import assert from 'node:assert/strict';
import {
  PHONE,
  SERVER_AWAY,
  assertFits,
  freshMatch,
  scene,
  until,
  untilOpen,
} from './harness.mjs';

/** Opens the match for two players; answers them by their mark. */
async function players(first, second) {
  const marks = {};
  for (const page of [first, second]) {
    await until(page, () => window.room?.me?.Mark != null);
    marks[await page.evaluate(() => window.room.me.Mark)] = page;
  }
  assert.deepEqual(Object.keys(marks).sort(), ['O', 'X'], 'one of each');
  return marks;
}

/** A click on a cell, as soon as the page allows it; then everyone sees it. */
async function place(marks, mark, cell, everyone) {
  await marks[mark].click(`[data-cell="${cell}"]`);
  for (const page of everyone) await untilShown(page, cell, mark);
}

/** Waits until the page itself shows the mark, not just the client behind it. */
async function untilShown(page, cell, mark) {
  const shows = ([cell, mark]) =>
    document.querySelector(`[data-cell="${cell}"]`).dataset.mark === mark;
  await until(page, shows, [cell, mark]);
}

/** Waits until the headline says so. */
async function untilSaid(page, words) {
  const says = (words) => document.querySelector('#status').textContent.includes(words);
  await until(page, says, words);
}

const seat = (page) => page.evaluate(() => window.room.seat);
const playerCount = (page) => page.evaluate(() => window.room.entities('Player').length);

scene('two play to a win while a third watches, and then play again', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const first = await scene.visit(path);
  await untilOpen(first);
  const second = await scene.visit(path);
  const marks = await players(first, second);
  const watcher = await scene.visit(path);
  await untilOpen(watcher);
  assert.equal(await seat(watcher), null, 'the third has no seat');

  const everyone = [first, second, watcher];
  await place(marks, 'X', 0, everyone);
  await place(marks, 'O', 3, everyone);
  await place(marks, 'X', 1, everyone);
  await place(marks, 'O', 4, everyone);
  await scene.screenshot(marks.X, 'tic-tac-toe');
  await place(marks, 'X', 2, everyone);
  for (const page of everyone) await untilSaid(page, 'X won');
  await scene.screenshot(watcher, 'tic-tac-toe-won');

  await marks.O.getByRole('button', { name: 'Rematch' }).click();
  for (const page of everyone) await untilShown(page, 0, '');
});

scene('who watches can take a seat that became free', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const first = await scene.visit(path);
  await untilOpen(first);
  const second = await scene.visit(path);
  const marks = await players(first, second);
  const watcher = await scene.visit(path);
  await untilSaid(watcher, 'turn');
  const take = watcher.getByRole('button', { name: 'Take the free seat' });
  assert.equal(await take.isVisible(), false, 'no seat is free');

  await marks.O.evaluate(() => window.room.leave());
  await untilSaid(watcher, 'A seat is free');
  assert.match(await watcher.textContent('#detail'), /take the free seat/);
  await scene.screenshot(watcher, 'tic-tac-toe-free-seat');
  await take.click();
  await until(watcher, () => window.room?.me?.Mark === 'O');
  await untilSaid(marks.X, 'Your turn');
  await place({ X: marks.X, O: watcher }, 'X', 4, [marks.X, watcher]);
  assert.equal(await take.isVisible(), false, 'it is taken');
});

scene('a page that is reloaded keeps its seat', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const first = await scene.visit(path);
  await untilOpen(first);
  const second = await scene.visit(path);
  const marks = await players(first, second);
  await place(marks, 'X', 4, [first, second]);

  const before = await seat(marks.O);
  await marks.O.reload();
  await until(marks.O, () => window.room?.me?.Mark === 'O');
  assert.equal(await seat(marks.O), before);
  await untilShown(marks.O, 4, 'X');
  await place(marks, 'O', 0, [first, second]);
  assert.equal(await playerCount(marks.X), 2, 'nobody came twice');
});

scene('two tabs of one browser are two players', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const person = await scene.person();
  const first = await person.open(path);
  await untilOpen(first);
  const second = await person.open(path);
  const marks = await players(first, second);
  assert.notEqual(await seat(first), await seat(second));
  await place(marks, 'X', 8, [first, second]);
  await place(marks, 'O', 7, [first, second]);
});

scene('a tab that the browser duplicates is another player, too', async (scene) => {
  const first = await scene.visit(`/tic-tac-toe/${freshMatch()}`);
  await untilOpen(first);
  // As with "Duplicate tab", the new page gets a copy of this one's session storage.
  const opened = first.waitForEvent('popup');
  await first.evaluate(() => void window.open(location.href));
  const second = await opened;
  const marks = await players(first, second);
  await place(marks, 'X', 4, [first, second]);
  await place(marks, 'O', 0, [first, second]);
});

scene('the server stops and starts again mid-game, and both go on by themselves', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const first = await scene.visit(path);
  await untilOpen(first);
  const second = await scene.visit(path);
  const marks = await players(first, second);
  const everyone = [first, second];
  await place(marks, 'X', 0, everyone);
  await place(marks, 'O', 3, everyone);
  const seats = [await seat(first), await seat(second)];
  for (const page of everyone) await page.evaluate(() => (window.neverReloaded = true));

  scene.expectComplaints(SERVER_AWAY);
  assert.equal(await scene.server.stop('SIGTERM'), 0, 'it ends well when it is asked to');
  for (const page of everyone) await until(page, () => window.room.status === 'reconnecting');
  await scene.screenshot(marks.O, 'tic-tac-toe-reconnecting');
  await scene.server.start();

  for (const page of everyone) await untilOpen(page);
  assert.deepEqual([await seat(first), await seat(second)], seats, 'each in their own seat');
  for (const page of everyone) {
    await untilShown(page, 0, 'X');
    await untilShown(page, 3, 'O');
  }
  await place(marks, 'X', 1, everyone);
  await place(marks, 'O', 4, everyone);
  await place(marks, 'X', 2, everyone);
  for (const page of everyone) {
    await untilSaid(page, 'X won');
    assert.equal(await page.evaluate(() => window.neverReloaded), true);
  }
});

scene('a board without three in a row is a draw', async (scene) => {
  const path = `/tic-tac-toe/${freshMatch()}`;
  const first = await scene.visit(path);
  await untilOpen(first);
  const second = await scene.visit(path);
  const marks = await players(first, second);
  for (const [turn, cell] of [0, 1, 2, 4, 3, 5, 7, 6, 8].entries()) {
    await place(marks, turn % 2 === 0 ? 'X' : 'O', cell, [first, second]);
  }
  for (const page of [first, second]) await untilSaid(page, 'Draw');
});

scene('the board fits a phone', async (scene) => {
  const page = await scene.visit(`/tic-tac-toe/${freshMatch()}`, PHONE);
  await untilOpen(page);
  await assertFits(page);
  await scene.screenshot(page, 'tic-tac-toe-phone');
});
