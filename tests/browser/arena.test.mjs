// The arena, played with keys, mouse and thumbs.

import assert from 'node:assert/strict';
import {
  PHONE,
  SECOND_UNUSED,
  assertNothingCutOff,
  freshMatch,
  scene,
  until,
  untilOpen,
} from './harness.mjs';

/** What a ship flies, in units per second: the game's own number. */
const SPEED = 260;
/** How much faster a ship may seem by the clock: the shown time runs a little faster or slower than
 * the clock while it follows the server's. */
const TOLERANCE = 1.5;
/** In so many of all frames it holds: a state that comes late on a busy machine is caught up with. */
const EVEN = 0.95;
/** Ticks per second, unless told otherwise. */
const HZ = 30;
/** After so long without a state, in milliseconds, no page can have known where the ships were. */
const STATES_LATE_MS = 120;
/** A shown place is rounded to the wire's step at both ends, in units. */
const STEP = 0.125;

/** Edge of a small map, in units: it is seen whole. */
const SIZE = 400;
/** A small map for two. */
const small = (match) => `/arena/${match}?players=2&size=${SIZE}`;

/** Two people on a small map, each in a browser of its own. */
async function two(scene) {
  const path = small(freshMatch());
  const pages = [await scene.visit(path), await scene.visit(path)];
  for (const page of pages) {
    await untilOpen(page);
    await until(page, () => room.entities('Ship', 'Player').length === 2);
  }
  return pages;
}

/** The own ship. */
const mine = (page) => page.evaluate(() => ({ ...room.me.Position, ...room.me.Ship }));

/** The only other ship, as this page knows it. */
const other = (page) =>
  page.evaluate(() => {
    const ship = room.entities('Ship', 'Position').find(({ id }) => id !== room.me.id);
    return { ...ship.Position, ...ship.Ship };
  });

/** Holds keys, waits for something, and lets go; other keys where it does not come in a while. */
async function fly(page, choices, arrived, turns = 8) {
  for (let turn = 0; turn < turns; turn += 1) {
    const keys = choices[turn % choices.length];
    for (const key of keys) await page.keyboard.down(key);
    const there = await arrived(1_500).then(
      () => true,
      () => false,
    );
    for (const key of keys) await page.keyboard.up(key);
    if (there) return;
  }
  assert.fail('whatever the keys, it does not come about');
}

const CORNERS = [
  ['KeyD', 'KeyS'],
  ['KeyA', 'KeyW'],
  ['ArrowRight', 'ArrowUp'],
  ['ArrowLeft', 'ArrowDown'],
];

/** Points the mouse at the other ship, far out from where the own one is drawn: a small map stands
 * still in the middle of the picture. */
async function aimAtOther(page) {
  const [from, to] = [await mine(page), await other(page)];
  const { width, height } = page.viewportSize();
  const scale = Math.max(width / 1150, height / 820, 0.62);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const far = Math.hypot(dx, dy) || 1;
  const place = (along, seen, way) => seen / 2 + (along - SIZE / 2) * scale + (way / far) * 60;
  await page.mouse.move(place(from.x, width, dx), place(from.y, height, dy));
}

scene('two in the arena see each other move, and one is hit', async (scene) => {
  scene.expectComplaints(SECOND_UNUSED);
  const [hunter, prey] = await two(scene);
  for (const [moves, sees] of [
    [hunter, prey],
    [prey, hunter],
  ]) {
    const before = await other(sees);
    await fly(moves, CORNERS, (timeout) =>
      sees.waitForFunction(
        ({ x, y }) => {
          const ship = room.entities('Ship', 'Position').find(({ id }) => id !== room.me.id);
          return Math.hypot(ship.Position.x - x, ship.Position.y - y) > 30;
        },
        before,
        { timeout },
      ),
    );
  }

  // The hunter shoots at the prey wherever it is. While a wall is in the way, both go elsewhere.
  await prey.evaluate(() => {
    window.lost = 0;
    let health = 5;
    room.onChange(() => {
      const now = room.me.Ship.health;
      window.lost += Math.max(0, health - now);
      health = now;
    });
  });
  const hit = (timeout) => prey.waitForFunction(() => window.lost > 0, null, { timeout });
  await hunter.mouse.down();
  const hunts = fly(
    hunter,
    [[], ...CORNERS],
    async (patience) => {
      const end = performance.now() + patience;
      while (!(await prey.evaluate(() => window.lost > 0))) {
        if (performance.now() > end) throw new Error('no hit yet');
        await aimAtOther(hunter);
      }
    },
    30,
  );
  // Every other way, so that the two do not go round in step.
  const flees = fly(prey, [CORNERS[1], CORNERS[2], CORNERS[0]], hit, 30);
  await Promise.all([hunts, flees]);
  await hunter.mouse.up();
  assert.ok((await prey.evaluate(() => window.lost)) >= 1, 'a hit costs health');
});

/** Records where ships are shown in each frame of some seconds, and the longest time without a state. */
const record = (page, seconds) =>
  page.evaluate(
    (seconds) =>
      new Promise((resolve) => {
        const frames = [];
        let [last, longest] = [performance.now(), 0];
        const stopStates = room.onChange(() => {
          const now = performance.now();
          [last, longest] = [now, Math.max(longest, now - last)];
        });
        const stop = room.onFrame((frame) => {
          const ships = frame.entities('Ship', 'Position');
          const places = ships.map(({ id, Position: { x, y } }) => ({ id, x, y }));
          frames.push({ time: document.timeline.currentTime, tick: frame.tick, places });
          if (frames.at(-1).time - frames[0].time >= seconds * 1000) {
            stop();
            stopStates();
            resolve({ frames, longest });
          }
        });
      }),
    seconds,
  );

/** From one frame to the next, each ship's way, and the time it took by the clock and as shown. */
function* steps(frames) {
  for (let at = 1; at < frames.length; at += 1) {
    const seconds = (frames[at].time - frames[at - 1].time) / 1000;
    const shown = (frames[at].tick - frames[at - 1].tick) / HZ;
    for (const { id, x, y } of frames[at].places) {
      const before = frames[at - 1].places.find((place) => place.id === id);
      if (before) yield { seconds, shown, way: Math.hypot(x - before.x, y - before.y) };
    }
  }
}

scene('what is shown of a moving ship moves without jumps', async (scene) => {
  scene.expectComplaints(SECOND_UNUSED);
  const [flies, watches] = await two(scene);
  // Where the machine has no time for the server, states come too late to be shown in time: that tells
  // nothing of how they are shown.
  for (let attempt = 1; ; attempt += 1) {
    const recorded = await recordFlight(flies, watches);
    const longest = Math.max(...recorded.map((page) => page.longest));
    if (longest > STATES_LATE_MS && attempt < 4) {
      console.log(`no state for ${longest.toFixed(0)} ms: recorded again`);
      continue;
    }
    recorded.forEach(({ frames }) => assertNoJumps(frames));
    return;
  }
});

/** Both pages' recordings of five seconds in which one flies round. */
async function recordFlight(flies, watches) {
  const recording = Promise.all([flies, watches].map((page) => record(page, 5)));
  let done = false;
  recording.finally(() => (done = true));
  for (let turn = 0; !done; turn += 1) {
    const keys = CORNERS[turn % CORNERS.length];
    for (const key of keys) await flies.keyboard.down(key);
    const from = await mine(flies);
    await flies
      .waitForFunction(
        ({ x, y }) => Math.hypot(room.me.Position.x - x, room.me.Position.y - y) > 120,
        from,
        { timeout: 700 },
      )
      .catch(() => {});
    for (const key of keys) await flies.keyboard.up(key);
  }
  return recording;
}

function assertNoJumps(frames) {
  assert.ok(frames.length > 50, `only ${frames.length} frames in five seconds`);
  let [far, moving, even] = [0, 0, 0];
  for (const { seconds, shown, way } of steps(frames)) {
    far += way;
    const most = SPEED * shown * 1.1 + 2 * STEP;
    assert.ok(way <= most, `${way.toFixed(1)} units in ${shown.toFixed(3)} s of the room's time`);
    if (way <= 2 * STEP) continue;
    moving += 1;
    even += way <= SPEED * seconds * TOLERANCE + 2 * STEP;
  }
  assert.ok(far > SPEED, `the ships went ${far.toFixed(0)} units in all`);
  assert.ok(even >= EVEN * moving, `${even} of ${moving} steps were no longer than their frame allows`);
  console.log(`${frames.length} frames, ${far.toFixed(0)} units; ${even} of ${moving} steps even`);
}

scene('the arena on a desktop', async (scene) => {
  scene.expectComplaints(SECOND_UNUSED);
  const match = freshMatch();
  const page = await scene.visit(`/arena/${match}`, { viewport: { width: 1280, height: 800 } });
  const guest = await scene.visit(`/arena/${match}`);
  for (const one of [page, guest]) await untilOpen(one);
  await until(page, () => room.entities('Ship').length === 2);
  await page.mouse.move(900, 300);
  await page.mouse.down();
  await until(page, () => room.entities('Shot').length >= 1);
  await assertNothingCutOff(page);
  await scene.screenshot(page, 'arena');
});

/** Thumbs on a screen: what it takes to put them down, move and lift them. */
async function thumbs(page) {
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...points) =>
    session.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: points.map(([id, x, y]) => ({ id, x, y })),
    });
  return touch;
}

scene('the arena on a phone: one thumb flies, the other aims and shoots', async (scene) => {
  scene.expectComplaints(SECOND_UNUSED);
  const page = await scene.visit(`/arena/${freshMatch()}?players=2&size=400`, PHONE);
  await untilOpen(page);
  const touch = await thumbs(page);
  const { x, y } = await mine(page);
  // Away from the nearer edges, so that there is a way to go.
  const [dx, dy] = [x < 200 ? 45 : -45, y < 200 ? 45 : -45];
  await touch('touchStart', [1, 90, 520]);
  await touch('touchMove', [1, 90 + dx, 520 + dy]);
  await until(
    page,
    ({ x, y }) => Math.hypot(room.me.Position.x - x, room.me.Position.y - y) > 20,
    { x, y },
  );
  await touch('touchStart', [1, 90 + dx, 520 + dy], [2, 290, 520]);
  await touch('touchMove', [1, 90 + dx, 520 + dy], [2, 290, 460]);
  await until(page, () => room.entities('Shot').length > 0);
  await until(page, () => Math.abs(room.me.Ship.aim - Math.PI * 1.5) < 0.1);
  await assertNothingCutOff(page);
  await scene.screenshot(page, 'arena-phone');
  await touch('touchEnd');
  await until(page, () => room.entities('Shot').length === 0);
});
