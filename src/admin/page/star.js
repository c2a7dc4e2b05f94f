// The drawing: the hub in the middle, parties around it, a line for each pair that passes the hub.

import { byId, keep, say, set, svg } from './dom.js';
import { UNKNOWN, commonEnd } from './model.js';
import { STATES, many, plain, rate, shorten } from './words.js';

/** More than these are no star any more: the busiest are drawn. */
const MOST_PARTIES = 60;
const MOST_PAIRS = 900;
/** Up to so many, labels lie beside the parties; beyond, they point away from the hub. */
const LEVEL_LABELS = 20;
const HUB = 46;
/** Of a line, and of a name's letters, in pixels. */
const THICKEST = 13;
const LETTER = 0.6;

const SHAPES = {
  up: 'M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z',
  idle: 'M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z',
  refused: 'M0-7.5 7.5 6H-7.5z',
  failing: 'M-3.2-7.2 0-4 3.2-7.2 7.2-3.2 4 0 7.2 3.2 3.2 7.2 0 4-3.2 7.2-7.2 3.2-4 0-7.2-3.2z',
};

/** A party's name as it stands in texts. */
export const nameOf = (id) => (id === UNKNOWN ? 'not known' : plain(id));

export class Drawing {
  #select;
  #view = null;
  #chosen = null;
  #places = new Map();

  /** `select` is called with a party's id, or null. */
  constructor(select) {
    this.#select = select;
    this.root = byId('drawing');
    this.spokes = svg('g', { class: 'spokes' });
    this.pairs = svg('g', { class: 'pairs' });
    this.nodes = svg('g', { class: 'nodes' });
    this.hubRate = svg('text', { class: 'rate', y: 2 });
    this.hubTunnels = svg('text', { y: 18 });
    this.hub = svg('g', { class: 'hub' },
      svg('circle', { r: HUB }), svg('text', { class: 'name', y: -15 }, 'hub'), this.hubRate, this.hubTunnels);
    this.root.append(this.spokes, this.pairs, this.hub, this.nodes);
    this.root.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(this.root);
    byId('legend').append(...Object.entries(STATES).map(([state, meaning]) => legend(state, meaning)));
  }

  show(view) {
    this.#view = view;
    this.#draw();
  }

  choose(id) {
    this.#chosen = id;
    this.#draw();
  }

  #draw() {
    const view = this.#view;
    const { width, height } = this.root.getBoundingClientRect();
    if (!view || width < 50 || height < 50) return;
    const parties = drawn(view.parties, this.#chosen);
    set(this.root, 'viewBox', `${-width / 2} ${-height / 2} ${width} ${height}`);
    const plan = layout(parties, width, height);
    this.#places = new Map(plan.map((place) => [place.party.id, place]));
    this.#drawHub(view);
    this.#drawNodes(plan);
    this.#drawPairs(view, plan);
  }

  #drawHub(view) {
    say(this.hubRate, rate(view.rate));
    say(this.hubTunnels, many(view.status.tunnels_open, 'tunnel'));
  }

  #drawNodes(plan) {
    const chosen = this.#chosen;
    const current = this.#places.has(chosen) ? chosen : plan[0]?.party.id;
    keep(this.spokes, plan, (place) => place.party.id, () => svg('path'), (node, { x, y, party }) => {
      set(node, 'd', `M0 0L${x.toFixed(1)} ${y.toFixed(1)}`);
      set(node, 'data-state', party.state);
    });
    keep(this.nodes, plan, (place) => place.party.id, (place) => this.#node(place.party.id), (node, place) => {
      const { x, y, party } = place;
      set(node, 'transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      set(node, 'data-state', party.state);
      set(node, 'tabindex', party.id === current ? 0 : -1);
      set(node, 'aria-pressed', party.id === chosen);
      set(node, 'aria-label', describe(party));
      const [shape, name, more] = node.children;
      set(shape, 'd', SHAPES[party.state]);
      set(shape, 'transform', `scale(${Math.max(0.5, Math.min(1, place.around / 20)).toFixed(2)})`);
      write(name, place.label, place, 0);
      write(more, place.more, place, 15);
    });
  }

  #node(id) {
    const choose = () => this.#select(this.#chosen === id ? null : id);
    const node = svg('g', { role: 'button', onclick: choose },
      svg('path', { class: 'shape' }), svg('text', { class: 'label' }), svg('text', { class: 'more' }));
    node.dataset.id = id;
    return node;
  }

  #drawPairs(view, plan) {
    const chosen = this.#chosen;
    const seen = view.pairs.filter((pair) => pair.a !== pair.b && this.#places.has(pair.a) && this.#places.has(pair.b));
    const busy = seen.sort((one, other) => (other.rate ?? 0) - (one.rate ?? 0) || other.tunnels - one.tunnels);
    const most = busy.slice(0, MOST_PAIRS);
    const top = Math.max(1, most[0]?.rate ?? 0);
    const thickest = Math.max(3, Math.min(THICKEST, (plan[0]?.around ?? 0) * 0.4));
    // The thickest last, so above the others.
    keep(this.pairs, most.reverse(), (pair) => pair.key, () => svg('path', {}, svg('title')), (node, pair) => {
      const thick = 1 + (thickest - 1) * Math.sqrt((pair.rate ?? 0) / top);
      set(node, 'd', curve(this.#places.get(pair.a), this.#places.get(pair.b)));
      set(node, 'stroke-width', thick.toFixed(2));
      set(node, 'data-state', pair.state);
      set(node, 'data-moves', Boolean(pair.rate));
      const of = chosen !== null && (pair.a === chosen || pair.b === chosen);
      set(node, 'class', chosen === null ? null : of ? 'chosen' : 'other');
      say(node.firstChild, `${nameOf(pair.a)} and ${nameOf(pair.b)}: ${many(pair.tunnels, 'tunnel')}, ${rate(pair.rate)}`);
    });
    say(byId('scale'), scale(view, this.#places.size, seen.length, most.at(-1)?.rate));
  }

  #key(event) {
    const nodes = [...this.nodes.children];
    const place = nodes.indexOf(event.target.closest('[role=button]'));
    if (place < 0) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) nodes.at((place + step) % nodes.length).focus();
    else if (event.key === 'Enter' || event.key === ' ') nodes[place].dispatchEvent(new Event('click'));
    else return;
    event.preventDefault();
  }
}

/** The parties to draw: all, or the busiest of too many and the chosen one, in their order. */
function drawn(parties, chosen) {
  const some = parties.filter(({ id, route, flows }) => (route ? route.line !== null || flows.length : true));
  if (some.length <= MOST_PARTIES) return some;
  const weight = ({ route, flows }) =>
    flows.reduce((all, flow) => all + flow.client_to_upstream + flow.upstream_to_client + flow.tunnels_opened, 0)
    + (route ? 0 : -1);
  const busiest = [...some].sort((one, other) => weight(other) - weight(one)).slice(0, MOST_PARTIES);
  const kept = new Set(busiest);
  return some.filter((party) => kept.has(party) || party.id === chosen);
}

/** Where each party is, and its label. */
function layout(parties, width, height) {
  const level = parties.length <= LEVEL_LABELS;
  const end = commonEnd(parties.map((party) => party.id));
  const short = (id) => nameOf(id.endsWith(end) ? id.slice(0, id.length - end.length) : id);
  const longest = Math.max(...parties.map((party) => [...short(party.id)].length), level ? 17 : 4);
  const large = level ? 13 : 12;
  const room = 22 + Math.min(longest * large * LETTER, Math.min(width, height) * (level ? 0.26 : 0.2));
  const ry = Math.max(60, height / 2 - (level ? 46 : room));
  const rx = Math.max(60, Math.min(width / 2 - room, ry * (level ? 1.5 : 1.12)));
  const around = (Math.PI * (rx + ry)) / Math.max(1, parties.length);
  const size = level ? large : Math.max(7.5, Math.min(large, around * 0.72));
  const most = Math.max(5, Math.floor((room - 20) / (size * LETTER)));
  return parties.map((party, place) => {
    const angle = (2 * Math.PI * place) / parties.length - Math.PI / 2;
    const more = level && around > 60 && party.tunnels > 0
      ? `${many(party.tunnels, 'tunnel')}, ${rate(add(party.sends, party.gets))}` : '';
    const [x, y] = [rx * Math.cos(angle), ry * Math.sin(angle)];
    return { party, angle, level, size, around, x, y, label: shorten(short(party.id), most), more };
  });
}

const add = (a, b) => (a === null || b === null ? null : a + b);

/** Puts a text beside its party: level, or pointing away from the hub. */
function write(node, text, { angle, level, size, more }, below) {
  say(node, text);
  set(node, 'font-size', (below ? 11 : size).toFixed(1));
  const [right, across] = [Math.cos(angle) >= 0, Math.abs(Math.cos(angle)) < 0.2];
  if (!level) {
    const turn = (angle * 180) / Math.PI + (right ? 0 : 180);
    set(node, 'text-anchor', right ? 'start' : 'end');
    set(node, 'transform', `rotate(${turn.toFixed(2)}) translate(${right ? 12 : -12} ${(size * 0.35).toFixed(1)})`);
    return;
  }
  const lines = more ? 15 : 0;
  const y = across ? (Math.sin(angle) < 0 ? -14 - lines : 25) : 4.5 - lines / 2;
  set(node, 'text-anchor', across ? 'middle' : right ? 'start' : 'end');
  set(node, 'transform', `translate(${across ? 0 : right ? 13 : -13} ${y + below})`);
}

/** From one party past the hub to the other. */
function curve(a, b) {
  // Among many, lines that do not all meet in the middle are told apart.
  const bend = a.level ? 0 : 0.22;
  const near = ({ x, y }) => `${(x * bend).toFixed(1)} ${(y * bend).toFixed(1)}`;
  return `M${a.x.toFixed(1)} ${a.y.toFixed(1)}C${near(a)} ${near(b)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`;
}

function describe({ id, state, tunnels, sends, gets }) {
  const traffic = tunnels > 0 ? `, ${many(tunnels, 'tunnel')}, sends ${rate(sends)}, gets ${rate(gets)}` : '';
  return `${nameOf(id)}: ${state}${traffic}`;
}

function legend(state, meaning) {
  const mark = svg('svg', { viewBox: '-9 -9 18 18', width: 14, height: 14, 'aria-hidden': 'true' },
    svg('path', { class: 'shape', d: SHAPES[state] }));
  const item = document.createElement('li');
  item.dataset.state = state;
  const word = document.createElement('b');
  word.textContent = state;
  item.append(mark, word, ` ${meaning}`);
  return item;
}

function scale({ parties, known }, places, pairs, top) {
  const said = [];
  const end = commonEnd(parties.map((party) => party.id));
  if (end) said.push(`names end in ${plain(end)}`);
  if (known && top) said.push(`thickest line: ${rate(top)}`);
  if (places < parties.length) said.push(`${places} of ${parties.length} parties drawn, the busiest`);
  if (pairs > MOST_PAIRS) said.push(`${MOST_PAIRS} of ${pairs} pairs drawn, the busiest`);
  return said.join(' · ');
}
