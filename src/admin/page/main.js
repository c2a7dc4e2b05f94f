// The page: asks the hub every two seconds and shows what it says.

import { byId, set } from './dom.js';
import { follow } from './hub.js';
import { Model } from './model.js';
import { Parties, detail, header, notices, refusals } from './panels.js';
import { Drawing } from './star.js';

const model = new Model();
const drawing = new Drawing(select);
const parties = new Parties(select);
let view = null;
let chosen = null;
let answered = null;
let trouble = null;

function select(id) {
  chosen = id;
  drawing.choose(id);
  detail(view, id);
}

function take(reading) {
  // After an upgrade the page is another one, too.
  if (view && view.status.version !== reading.status.version) location.reload();
  view = model.take(reading);
  answered = Date.now();
  trouble = null;
  set(document.body, 'data-stale', null);
  notices(view, null);
  header(view);
  drawing.show(view);
  parties.show(view);
  refusals(view);
  if (chosen !== null) detail(view, chosen);
}

function miss(why) {
  trouble = { why, since: trouble?.since ?? Date.now(), last: answered };
  set(document.body, 'data-stale', true);
  const state = byId('state');
  set(state, 'data-state', 'failing');
  state.textContent = 'does not answer';
  document.title = 'snihub: does not answer';
  notices(view, trouble);
}

byId('back').addEventListener('click', () => select(null));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && chosen !== null) select(null);
});
follow(take, miss);
