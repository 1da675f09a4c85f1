// The counter counts, wherever a count comes from.

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

const untilCount = (page, count) =>
  until(page, (count) => document.querySelector('#count').textContent.trim() === count, `${count}`);

/** One count over plain HTTP; the answer is the new number. */
async function call(scene, match, method) {
  const response = await fetch(`${scene.server.url}/counter/${match}/call`, { method });
  assert.equal(response.status, 200, `${method} answers ${response.status}`);
  return response.json();
}

scene('a name that the game does not have is told with those that it has', async (scene) => {
  const page = await scene.visit(`/counter/${freshMatch()}`);
  await untilOpen(page);
  const told = await page.evaluate(() => {
    const caught = (body) => {
      try {
        return body();
      } catch ({ name, code, message }) {
        return `${name} ${code}: ${message}`;
      }
    };
    return [
      caught(() => room.get('Count')),
      caught(() => room.get('Cuont')),
      caught(() => room.entities('Player', 'Plaier')),
      caught(() => room.onEvent('Pressed', () => {})),
    ];
  });
  assert.deepEqual(told, [
    0,
    'RefereeError unknown_type: the game has no resource Cuont; it has Count',
    'RefereeError unknown_type: the game has no component Plaier; it has Player',
    'RefereeError unknown_type: the game has no event Pressed; it has none',
  ]);
});

scene('it counts from a page and from plain HTTP at once, and two tabs see it', async (scene) => {
  const match = freshMatch();
  const person = await scene.person();
  const first = await person.open(`/counter/${match}`);
  const second = await person.open(`/counter/${match}`);
  await Promise.all([untilOpen(first), untilOpen(second)]);
  await untilCount(first, 0);

  const press = async () => {
    for (let presses = 0; presses < 10; presses += 1) await first.click('#press');
  };
  const callOften = async (method) => {
    const answers = [];
    for (let calls = 0; calls < 5; calls += 1) answers.push(await call(scene, match, method));
    return answers;
  };
  const [, posted, got] = await Promise.all([press(), callOften('POST'), callOften('GET')]);
  const answers = [...posted, ...got];
  assert.equal(new Set(answers).size, 10, `each call counted: ${answers}`);

  for (const page of [first, second]) await untilCount(page, 20);
  await second.click('#press');
  for (const page of [first, second]) await untilCount(page, 21);
  await scene.screenshot(first, 'counter');
});

scene('plain HTTP alone brings the room to life', async (scene) => {
  const match = freshMatch();
  assert.equal(await call(scene, match, 'GET'), 1);
  assert.equal(await call(scene, match, 'POST'), 2);
  const page = await scene.visit(`/counter/${match}`);
  await untilCount(page, 2);
});

scene('the count outlives the server, for those who stay and those who come', async (scene) => {
  const path = `/counter/${freshMatch()}`;
  const stays = await scene.visit(path);
  await untilOpen(stays);
  for (let presses = 0; presses < 3; presses += 1) await stays.click('#press');
  await untilCount(stays, 3);

  scene.expectComplaints(SERVER_AWAY);
  assert.equal(await scene.server.stop('SIGTERM'), 0, 'it ends well when it is asked to');
  await scene.server.start();

  const comes = await scene.visit(path);
  await untilCount(comes, 3);
  await untilOpen(stays);
  await stays.click('#press');
  for (const page of [stays, comes]) await untilCount(page, 4);
});

scene('the counter fits a phone', async (scene) => {
  const page = await scene.visit(`/counter/${freshMatch()}`, PHONE);
  await untilOpen(page);
  await assertFits(page);
  await scene.screenshot(page, 'counter-phone');
});
