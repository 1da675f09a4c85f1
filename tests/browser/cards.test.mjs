// Crazy Eights as people play it; and that no page knows what another holds.

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

const NAMES = ['Ann', 'Bob', 'Cid', 'Dee'];

/** So many pages in a match, in the order of their seats, and with names. */
async function players(scene, count, options = {}) {
  const path = `/cards/${freshMatch()}`;
  const pages = [];
  for (const [seat, name] of NAMES.slice(0, count).entries()) {
    const page = await scene.visit(path, options);
    await untilOpen(page);
    await page.fill('#name', name);
    await page.keyboard.press('Enter');
    const named = ([seat, name]) => room.me?.Player.name === name && room.seat === seat;
    await until(page, named, [seat, name]);
    pages.push(page);
  }
  for (const page of pages) {
    await until(page, (count) => room.entities('Hand').length === count, count);
  }
  return pages;
}

async function deal(pages) {
  await pages[0].getByRole('button', { name: 'Deal' }).click();
  for (const page of pages) {
    await until(page, () => room.get('Table').turn !== null && room.me.Hand.cards === 5);
  }
}

/** Everything has come to rest, for a picture. */
const atRest = (page) =>
  page.evaluate(() => {
    const ends = document.getAnimations().filter((a) => a.effect.getTiming().iterations === 1);
    return Promise.allSettled(ends.map((animation) => animation.finished)).then(() => {});
  });

/** How far the round is: grows with each act. */
const progress = (page) =>
  page.evaluate(() => {
    const { turn, laid, deck } = room.get('Table');
    return JSON.stringify([turn, laid, deck, room.entities('Hand').map(({ Hand }) => Hand)]);
  });

/** Chooses a suit, where an eight asks for one. */
async function answerSuit(page, suit) {
  const button = page.locator(`#suits [value="${suit}"]`);
  await button.click();
}

/** A click, or a tap, on the left edge of a card, which no other covers, once it lies still. */
async function hit(page, card) {
  const point = await card.evaluate(async (card) => {
    await Promise.allSettled(card.getAnimations().map((animation) => animation.finished));
    const box = card.getBoundingClientRect();
    const turn = (parseFloat(card.style.getPropertyValue('--turn')) * Math.PI) / 180;
    const left = card.offsetWidth * -0.4;
    return {
      x: box.x + box.width / 2 + left * Math.cos(turn),
      y: box.y + box.height / 2 + left * Math.sin(turn),
    };
  });
  const touches = await page.evaluate(() => navigator.maxTouchPoints > 0);
  await (touches ? page.touchscreen : page.mouse)[touches ? 'tap' : 'click'](point.x, point.y);
}

/** One turn as the page offers it: the first card that is lit, or the deck. Gives who played. */
async function play(pages) {
  const turn = await pages[0].evaluate(() => room.get('Table').turn);
  const page = pages[turn];
  await until(page, () => room.get('Table').turn === room.seat);
  const before = await Promise.all(pages.map(progress));
  const lit = page.locator('#hand .face[aria-disabled="false"]').first();
  if (await lit.count()) {
    const asks = await lit.evaluate(
      (card) => card.dataset.rank === '8' && room.me.Hand.cards > 1,
    );
    await hit(page, lit);
    if (asks) await answerSuit(page, 'Hearts');
  } else {
    await page.locator('#deck').click();
  }
  for (const [at, page] of pages.entries()) {
    await until(
      page,
      (before) => {
        const { turn, laid, deck } = room.get('Table');
        const now = [turn, laid, deck, room.entities('Hand').map(({ Hand }) => Hand)];
        return JSON.stringify(now) !== before;
      },
      before[at],
    );
  }
  return page;
}

/** What a page knows of cards: the own ones, those of others, and how many there should be. */
const known = (page) =>
  page.evaluate(() => {
    const cards = room.entities('Card').map(({ Card }) => Card);
    const names = (cards) => cards.map(({ rank, suit }) => `${rank} of ${suit}`);
    const held = cards.filter(({ place }) => place.Hand !== undefined);
    return {
      own: names(held.filter(({ place }) => place.Hand === room.seat)),
      others: names(held.filter(({ place }) => place.Hand !== room.seat)),
      laid: names(cards.filter(({ place }) => place.Pile !== undefined)),
      all: names(cards),
      shown: [...document.querySelectorAll('.face')].map(({ dataset: { rank, suit } }) => `${rank} of ${suit}`),
    };
  });

/** No page knows a card that another page's player holds, nor one of the deck. */
async function assertSecret(pages) {
  const knowledge = await Promise.all(pages.map(known));
  for (const [at, { own, others, laid, all, shown }] of knowledge.entries()) {
    assert.deepEqual(others, [], 'no hand but the own');
    assert.equal(all.length, own.length + laid.length, 'nothing of the deck');
    for (const other of knowledge.filter((_, other) => other !== at)) {
      const seen = other.own.filter((card) => all.includes(card) || shown.includes(card));
      assert.deepEqual(seen, [], 'nothing that another holds, in the state or in the page');
    }
  }
}

scene('two play, and neither page ever holds the other’s cards', async (scene) => {
  const pages = await players(scene, 2);
  await deal(pages);
  await assertSecret(pages);
  for (let turn = 0; turn < 12; turn += 1) {
    await play(pages);
    await assertSecret(pages);
    const over = await pages[0].evaluate(() => room.get('Table').turn === null);
    if (over) await deal(pages);
  }
  await atRest(pages[0]);
  await scene.screenshot(pages[0], 'cards-two');
});

scene('four play a round to its end, and deal again', async (scene) => {
  const pages = await players(scene, 4, { viewport: { width: 1280, height: 800 } });
  await atRest(pages[0]);
  await scene.screenshot(pages[0], 'cards-before');
  await deal(pages);
  for (let turn = 0; ; turn += 1) {
    assert.ok(turn < 400, 'a round has an end');
    const page = await play(pages);
    if (turn === 9) {
      await atRest(pages[0]);
      await scene.screenshot(pages[0], 'cards');
    }
    if (await page.evaluate(() => room.get('Table').winner !== null)) break;
  }
  const winner = await pages[0].evaluate(() => room.get('Table').winner);
  for (const [seat, page] of pages.entries()) {
    const says = seat === winner ? 'You won the round!' : 'won the round';
    await until(page, (says) => document.querySelector('#status').textContent.includes(says), says);
    await assertFits(page);
  }
  await atRest(pages[winner]);
  await scene.screenshot(pages[winner], 'cards-won');
  await deal([pages[winner], ...pages.filter((_, seat) => seat !== winner)]);
  await until(pages[winner], () => document.querySelector('#status').textContent === 'Your turn');
});

scene('cards are laid by keyboard, and an eight may be taken back', async (scene) => {
  const pages = await players(scene, 2);
  await deal(pages);
  for (let turn = 0; turn < 200; turn += 1) {
    const at = await pages[0].evaluate(() => room.get('Table').turn);
    if (at === null) {
      await deal(pages);
      continue;
    }
    const page = pages[at];
    await until(page, () => room.get('Table').turn === room.seat);
    const eight = page.locator('#hand .face[data-rank="8"]').first();
    const asks = await page.evaluate(() => room.me.Hand.cards > 1);
    if (!asks || !(await eight.count())) {
      await play(pages);
      continue;
    }
    const before = await progress(page);
    // The arrow keys walk along the hand until the eight has the focus.
    const focused = () => page.evaluate(() => document.activeElement.dataset.rank === '8');
    for (let step = 0; step < 20 && !(await focused()); step += 1) {
      await page.keyboard.press('ArrowRight');
    }
    await page.keyboard.press('Enter');
    await page.locator('#suits').waitFor();
    await atRest(page);
    await scene.screenshot(page, 'cards-suits');
    await page.keyboard.press('Escape');
    assert.equal(await progress(page), before, 'nothing was laid');
    await page.keyboard.press('Enter');
    await answerSuit(page, 'Diamonds');
    for (const page of pages) {
      await until(page, () => room.get('Table').suit === 'Diamonds');
      await until(page, () => document.querySelector('#asked').dataset.suit === 'Diamonds');
    }
    return;
  }
  assert.fail('nobody ever held an eight');
});

scene('the server stops and starts again in the middle of a round', async (scene) => {
  const pages = await players(scene, 2);
  await deal(pages);
  for (let turn = 0; turn < 3; turn += 1) await play(pages);
  const before = await Promise.all(pages.map(known));
  scene.expectComplaints(SERVER_AWAY);
  assert.equal(await scene.server.stop('SIGTERM'), 0);
  for (const page of pages) await until(page, () => room.status === 'reconnecting');
  await scene.server.start();
  for (const page of pages) await untilOpen(page);
  const after = await Promise.all(pages.map(known));
  for (const [at, { own, laid }] of after.entries()) {
    assert.deepEqual([own.sort(), laid.sort()], [before[at].own.sort(), before[at].laid.sort()]);
  }
  await assertSecret(pages);
  await play(pages);
});

scene('the table fits a phone, and is played by thumb', async (scene) => {
  const pages = await players(scene, 4, PHONE);
  for (const page of pages) await assertFits(page);
  await deal(pages);
  for (let turn = 0; turn < 8; turn += 1) {
    await play(pages);
    if (await pages[0].evaluate(() => room.get('Table').turn === null)) await deal(pages);
  }
  const turn = await pages[0].evaluate(() => room.get('Table').turn);
  for (const page of pages) await assertFits(page);
  const hand = await pages[turn].evaluate(() =>
    [...document.querySelectorAll('#hand .face')].map((card) => card.getBoundingClientRect()).every(
      ({ left, right }) => left > -8 && right < innerWidth + 8,
    ),
  );
  assert.ok(hand, 'the whole hand is on the screen');
  await atRest(pages[turn]);
  await scene.screenshot(pages[turn], 'cards-phone');
});
