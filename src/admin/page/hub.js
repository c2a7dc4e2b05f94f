// Asking the hub, again and again.

const EVERY = 2000;
const PATIENCE = 10_000;
/** A hub with a very long table is asked less often: an answer may take this part of the time. */
const SHARE = 10;
const REFUSALS = 400;

async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    const late = error.name === 'TimeoutError';
    throw new Error(late ? `no answer within ${PATIENCE / 1000} s` : 'nothing listens there any more');
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    throw new Error(body?.error ?? `an answer that is none: ${answer.status}`);
  }
  return body;
}

/** All that the page shows, as of one moment. */
async function read() {
  const began = performance.now();
  const [status, table, late] = await Promise.all([
    ask('api/status'),
    ask('api/routes'),
    ask(`api/refusals?limit=${REFUSALS}`),
  ]);
  const now = performance.now();
  return { at: now, took: now - began, status, routes: table.routes, links: table.links, refusals: late.refusals };
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Until the page is looked at. */
async function seen() {
  while (document.hidden) {
    await new Promise((done) => document.addEventListener('visibilitychange', done, { once: true }));
  }
}

/** Calls `take` with each reading, `miss` with why there is none. Never comes back. */
export async function follow(take, miss) {
  for (let first = true; ; first = false) {
    await seen();
    let took = 0;
    try {
      const reading = await read();
      took = reading.took;
      take(reading);
    } catch (error) {
      miss(error.message);
    }
    // Rates need a second reading: it follows at once.
    await pause(first ? EVERY / 2 : Math.max(EVERY, took * SHARE));
  }
}
