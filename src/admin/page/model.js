// From counters to a star: parties, what goes between each pair of them, how they do.

/** Rates are over about so many ms. */
const WINDOW = 6000;
/** Who calls from an address that is no party's, or several ones'. */
export const UNKNOWN = '';

const keyOf = (link) => JSON.stringify([link.party, link.route]);

/** Remembers earlier counters, for rates. */
export class Model {
  #started = null;
  #before = [];

  /** The star as of this reading. */
  take({ at, status, routes, links, refusals }) {
    if (this.#started !== status.started_unix_ms) this.#before = [];
    this.#started = status.started_unix_ms;
    const base = this.#before.find((one) => at - one.at <= WINDOW) ?? this.#before.at(-1);
    const counted = new Map(links.map((link) => [keyOf(link), [link.client_to_upstream, link.upstream_to_client]]));
    const total = [status.client_to_upstream, status.upstream_to_client];
    const per = (now, then) => (base ? Math.max(0, ((now - then) * 1000) / (at - base.at)) : null);
    const flows = links.map((link) => {
      const then = base?.counted.get(keyOf(link)) ?? [0, 0];
      return { ...link, there: per(link.client_to_upstream, then[0]), back: per(link.upstream_to_client, then[1]) };
    });
    const rates = total.map((now, way) => per(now, base?.total[way] ?? 0));
    this.#before = this.#before.filter((one) => at - one.at <= WINDOW);
    this.#before.push({ at, counted, total });
    const shown = parties(routes, flows);
    const here = new Set(shown.map(({ id }) => id));
    return {
      status,
      rate: sum(...rates),
      parties: shown,
      pairs: pairs(flows).filter(({ a, b }) => here.has(a) && here.has(b)),
      refusals: grouped(refusals),
      known: Boolean(base),
    };
  }
}

const sum = (a, b) => (a === null || b === null ? null : a + b);

/** One for each route, then for each caller that has none; not for whom only old counts are left, as of a party that was removed. */
function parties(routes, flows) {
  const all = new Map();
  const blank = (id, route) => ({ id, route, tunnels: 0, sends: 0, gets: 0, refused: 0, failed: 0, flows: [], state: 'idle' });
  for (const route of routes) all.set(route.id, blank(route.id, route));
  for (const flow of flows) {
    const from = flow.party ?? UNKNOWN;
    for (const id of new Set([from, flow.route])) {
      if (!all.has(id)) all.set(id, blank(id, null));
      const party = all.get(id);
      const calls = id === from;
      party.flows.push(flow);
      party.tunnels += flow.tunnels_open;
      party.sends = sum(party.sends, calls ? flow.there : flow.back);
      party.gets = sum(party.gets, calls ? flow.back : flow.there);
      if (calls) party.refused += flow.refused;
      if (id === flow.route) party.failed += flow.dial_errors;
    }
  }
  for (const party of all.values()) party.state = stateOf(party);
  return [...all.values()].filter(({ route, tunnels, state }) => (route && route.target !== null) || tunnels > 0 || state !== 'idle');
}

/** As it is called and as it calls: the worse of both. Whom it calls in vain is not its fault. */
function stateOf({ id, route, flows, tunnels }) {
  if (route?.state === 'failing' || route?.probe?.state === 'failing') return 'failing';
  const calls = flows.filter((flow) => (flow.party ?? UNKNOWN) === id);
  if (route?.state === 'refused' || calls.some((flow) => flow.state === 'refused')) return 'refused';
  return tunnels > 0 ? 'up' : 'idle';
}

const WORST = ['failing', 'refused', 'up', 'idle'];

/** What goes between two parties, whoever calls. */
function pairs(flows) {
  const all = new Map();
  for (const flow of flows) {
    const [a, b] = [flow.party ?? UNKNOWN, flow.route].sort();
    const key = JSON.stringify([a, b]);
    const pair = all.get(key) ?? { key, a, b, tunnels: 0, rate: 0, state: 'idle' };
    pair.tunnels += flow.tunnels_open;
    pair.rate = sum(pair.rate, sum(flow.there, flow.back));
    if (WORST.indexOf(flow.state) < WORST.indexOf(pair.state)) pair.state = flow.state;
    all.set(key, pair);
  }
  return [...all.values()];
}

/** An IPv4 or IPv6 address without its port. */
const host = (source) => source.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');

/** The same client, name and cause once, the latest first. */
function grouped(refusals) {
  const all = new Map();
  for (const one of refusals) {
    const who = one.party ?? host(one.source);
    const key = JSON.stringify([who, one.name, one.route, one.why]);
    const group = all.get(key);
    if (group) group.times += 1;
    else all.set(key, { ...one, key, who, times: 1 });
  }
  return [...all.values()];
}

/** What the names of all parties end in, from a dot on; '' if that is nothing. */
export function commonEnd(ids) {
  const names = ids.filter((id) => id.includes('.'));
  if (names.length < 3 || names.length < ids.length - 2) return '';
  const first = names[0].split('.').slice(1);
  for (let from = 0; from < first.length; from += 1) {
    const end = `.${first.slice(from).join('.')}`;
    if (names.every((name) => name.endsWith(end) && name.length > end.length)) return end;
  }
  return '';
}
