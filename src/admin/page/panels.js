// What stands in words: how the hub does, the parties, one party, who was turned away.

import { byId, el, keep, say, set } from './dom.js';
import { UNKNOWN } from './model.js';
import { nameOf } from './star.js';
import { STATES, bytes, clock, count, many, plain, rate, span } from './words.js';

/** Rows of a list; who looks for more has the search field, and `snihub routes`. */
const MOST_ROWS = 200;

/** The line at the top. */
export function header({ status, rate: now }) {
  const state = status.draining ? 'draining' : status.ready ? 'ready' : 'not ready';
  set(byId('state'), 'data-state', status.ready ? 'up' : 'refused');
  say(byId('state'), status.not_ready && !status.draining ? `${state}: ${status.not_ready}` : state);
  const facts = [
    many(status.tunnels_open, 'tunnel'), rate(now), many(status.routes, 'route'), `up ${span(status.uptime_s)}`,
    `${status.version}, pid ${status.pid}`,
  ];
  keep(byId('facts'), facts.map((text, place) => ({ text, place })), (fact) => fact.place, () => el('span'),
    (node, fact) => say(node, fact.text));
  document.title = `snihub: ${state}, ${many(status.tunnels_open, 'tunnel')}`;
}

/** What needs somebody: `trouble` is why the hub gives no answer, and since when. */
export function notices(view, trouble) {
  const all = [];
  if (trouble) {
    const stale = view ? ` What is shown is as of ${clock(trouble.last)}.` : '';
    all.push({ kind: 'failing', text: `The hub does not answer since ${clock(trouble.since)}: ${trouble.why}.${stale} It is asked again every 2 s.`, lines: [] });
  }
  const last = view?.status.last_reload;
  if (last?.result === 'refused') {
    const text = `The reload at ${clock(last.at_unix_ms)} was refused: generation ${view.status.generation} stays in force.`;
    all.push({ kind: 'refused', text, lines: last.problems });
  }
  if (view?.status.relay === 'copy') {
    all.push({ kind: 'refused', text: `Bytes are copied, not spliced: ${view.status.relay_why}`, lines: [] });
  }
  const shared = view?.parties.filter(({ route }) => route?.probe?.certificate?.good_for_in_all > 0) ?? [];
  if (shared.length > 0) {
    const text = 'Certificates are good for more than their party: HTTP/2 clients send there what is for others (RFC 9113, 9.1.1).';
    all.push({ kind: 'refused', text, more: 'snihub routes', lines: shared.map(({ id, route }) => `${nameOf(id)}: also ${others(route.probe.certificate)}`) });
  }
  const most = 4;
  keep(byId('notices'), all, (one) => one.kind + one.text, () => el('div', {}, el('p'), el('ul')), (node, one) => {
    set(node, 'data-state', one.kind);
    say(node.children[0], plain(one.text));
    const lines = one.lines.slice(0, most);
    if (one.lines.length > most) lines.push(`… and ${one.lines.length - most} more: ${one.more ?? 'snihub check'}`);
    keep(node.children[1], lines.map((text, place) => ({ text, place })), (line) => line.place, () => el('li'),
      (item, line) => say(item, plain(line.text)));
  });
}

/** Whom a certificate is good for besides. */
function others({ good_for: ids, good_for_in_all: all }) {
  const more = all > ids.length ? ` and ${count(all - ids.length)} more` : '';
  return ids.map(nameOf).join(', ') + more;
}

/** What the hub's own probe of a party found. */
function probed(probe, status) {
  const ms = probe.took_ms < 10 ? probe.took_ms.toFixed(1) : Math.round(probe.took_ms);
  const facts = [['probe', `${probe.kind}: ${probe.state} since ${clock(probe.since_unix_ms)}, ${ms} ms at ${clock(probe.asked_unix_ms)}`]];
  if (probe.why) facts.push(['found', plain(probe.why)]);
  const own = probe.certificate;
  if (!own) return facts;
  const days = Math.floor((own.not_after_unix_ms - status.started_unix_ms - status.uptime_s * 1000) / 86_400_000);
  facts.push(['certificate', `${many(days, 'day')} left, until ${clock(own.not_after_unix_ms)}; for ${own.names.map(plain).join(', ') || 'no host'}`]);
  if (own.good_for_in_all > 0) facts.push(['good for', `${others(own)}, too: HTTP/2 clients send here what is for them (RFC 9113, 9.1.1)`]);
  return facts;
}

const cell = (text, kind) => el('td', kind ? { class: kind } : {}, text);

function table(heads, rows) {
  const head = heads.map((name) => el('th', { scope: 'col', class: name.startsWith('>') ? 'number' : null }, name.replace('>', '')));
  return el('table', {}, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...rows));
}

const busy = (party) => (party.sends ?? 0) + (party.gets ?? 0);
const ORDER = ['failing', 'refused', 'up', 'idle'];
const byNeed = (a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || busy(b) - busy(a) || b.tunnels - a.tunnels;

/** All parties: who needs somebody first, then who is busy. */
export class Parties {
  constructor(select) {
    this.body = el('tbody');
    const heads = ['party', 'state', 'tunnels', 'sends', 'gets'];
    const head = heads.map((name, n) => el('th', { scope: 'col', class: n > 1 ? 'number' : null }, name));
    this.none = el('p', { class: 'none' });
    byId('list').append(el('table', {}, el('thead', {}, el('tr', {}, ...head)), this.body), this.none);
    this.select = select;
    byId('find').addEventListener('input', () => this.show(this.view));
  }

  show(view) {
    this.view = view;
    if (!view) return;
    const wanted = byId('find').value.trim().toLowerCase();
    const found = view.parties.filter((party) => nameOf(party.id).toLowerCase().includes(wanted)).sort(byNeed);
    const rows = found.slice(0, MOST_ROWS);
    keep(this.body, rows, (party) => party.id, (party) => this.#row(party.id), (row, party) => {
      set(row, 'data-state', party.state);
      const [, state, tunnels, sends, gets] = row.children;
      say(state, party.state);
      say(tunnels, count(party.tunnels));
      say(sends, rate(party.sends));
      say(gets, rate(party.gets));
    });
    const more = found.length - rows.length;
    say(this.none, more > 0 ? `and ${count(more)} more: find them by name`
      : found.length > 0 ? '' : wanted ? 'No party has this in its name.' : 'sni.yaml has no route yet.');
  }

  #row(id) {
    const name = el('button', { type: 'button', title: nameOf(id), onclick: () => this.select(id) }, nameOf(id));
    return el('tr', {}, el('th', { scope: 'row' }, name), cell('', 'state'), cell('', 'number'), cell('', 'number'), cell('', 'number'));
  }
}

/** One party. */
export function detail(view, id) {
  const party = view?.parties.find((one) => one.id === id);
  byId('party').hidden = !party;
  byId('parties').hidden = Boolean(party);
  if (!party) return;
  say(byId('party-title'), nameOf(id));
  const late = view.refusals.find((one) => one.route === id || one.who === id);
  const byProbe = party.state === 'failing' && party.route.state !== 'failing';
  const facts = [['state', `${party.state}: ${byProbe ? 'the hub’s own probe fails' : STATES[party.state]}`]];
  if (late && (party.state === 'failing' || party.state === 'refused')) facts.push(['why', `${clock(late.at_unix_ms)} ${plain(late.why)}`]);
  if (party.route?.line) facts.push(['leads to', `${plain(party.route.target ?? '-')} (sni.yaml:${party.route.line})`]);
  else if (id === UNKNOWN) facts.push(['who', 'callers whose address is of no party, or of several: `sources` in sni.yaml tells them apart']);
  else facts.push(['leads to', 'nowhere any more: sni.yaml has it no longer']);
  if (party.route?.probe) facts.push(...probed(party.route.probe, view.status));
  const since = party.flows.reduce((all, flow) => all + flow.client_to_upstream + flow.upstream_to_client, 0);
  facts.push(['now', `${many(party.tunnels, 'tunnel')}; sends ${rate(party.sends)}, gets ${rate(party.gets)}`]);
  facts.push(['so far', `${bytes(since)}; refused ${count(party.refused)} times, not reached ${count(party.failed)} times`]);
  const list = el('dl', {}, ...facts.flatMap(([what, text]) => [el('dt', {}, what), el('dd', {}, text)]));
  const flows = [...party.flows].sort((a, b) => (b.there ?? 0) + (b.back ?? 0) - (a.there ?? 0) - (a.back ?? 0));
  const rows = flows.slice(0, MOST_ROWS).map((flow) => peer(flow, id));
  byId('detail').replaceChildren(list, rows.length ? table(['with', 'state', '>tunnels', '>sends', '>gets'], rows) : '');
  set(byId('party'), 'data-state', party.state);
}

function peer(flow, id) {
  const calls = (flow.party ?? UNKNOWN) === id;
  const other = calls ? flow.route : flow.party ?? UNKNOWN;
  const [sends, gets] = calls ? [flow.there, flow.back] : [flow.back, flow.there];
  return el('tr', { 'data-state': flow.state },
    el('th', { scope: 'row' }, calls ? `calls ${nameOf(other)}` : `called by ${nameOf(other)}`),
    cell(flow.state, 'state'), cell(count(flow.tunnels_open), 'number'), cell(rate(sends), 'number'), cell(rate(gets), 'number'));
}

/** Who got no tunnel of late, and why. */
export function refusals(view) {
  const { status } = view;
  say(byId('refused-count'), `${count(status.refused)} refused, ${count(status.dial_errors)} failed since start`);
  const list = byId('refusals');
  const rows = view.refusals.slice(0, MOST_ROWS);
  if (rows.length === 0) {
    list.kept = undefined;
    list.replaceChildren(el('p', { class: 'none' }, 'Nobody so far.'));
    return;
  }
  if (!list.kept) list.replaceChildren();
  keep(list, rows, (one) => one.key, () => el('article', {}, el('p', { class: 'who' }), el('p', { class: 'why' })), (node, one) => {
    set(node, 'data-state', one.by === 'upstream' ? 'failing' : 'refused');
    const [who, why] = node.children;
    const name = one.name === null ? 'asked for no name' : `asked for ${plain(one.name)}`;
    say(who, `${clock(one.at_unix_ms)}  ${plain(one.who)} ${name}${one.times > 1 ? `  ×${count(one.times)}` : ''}`);
    say(why, plain(one.why));
  });
}
