// Numbers, times and names as people read them.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `734 B`, `1.2 kB`, `105 MB`. */
export function bytes(n) {
  let unit = 0;
  for (; n >= 999.5 && unit < UNITS.length - 1; unit += 1) n /= 1000;
  return `${unit === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

/** Bytes a second; null: not known yet. */
export const rate = (n) => (n === null ? '…' : `${bytes(n)}/s`);

/** `1,234`. */
export const count = (n) => n.toLocaleString('en');

/** `1 tunnel`, `2 tunnels`. */
export const many = (n, what) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

/** `3 d 4 h`, `12 min`, `8 s`. */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const two = (n) => String(n).padStart(2, '0');

/** The time of day here; with the date where that is not today. */
export function clock(ms) {
  const at = new Date(ms);
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** A text that moves nothing around it: no line breaks, no turn of the direction of writing. */
export const plain = (text) => text.replace(/\p{C}|\p{Zl}|\p{Zp}/gu, '\u{fffd}');

/** At most so many characters, from both ends. */
export function shorten(text, most) {
  const all = [...text];
  if (all.length <= most) return text;
  const kept = Math.max(2, most - 1);
  const head = Math.ceil(kept * 0.6);
  return `${all.slice(0, head).join('')}…${all.slice(all.length - (kept - head)).join('')}`;
}

/** What the states mean. */
export const STATES = {
  up: 'tunnels stand',
  idle: 'no tunnel stands',
  refused: 'latest client refused',
  failing: 'cannot be reached',
};
