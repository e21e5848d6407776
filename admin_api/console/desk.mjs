// What the page does: signs in, loads, listens, acts. Components call these; they change the store and the machines.
import { api, Problem } from './api.mjs';
import { machineName } from './format.mjs';
import { name, t } from './i18n.mjs';
import { Machines } from './machines.mjs';
import { store } from './store.mjs';
import { Stream } from './stream.mjs';

export const machines = new Machines();

const PAGE = 100; // alarms of one page
const OPEN_PAGE = 1000; // the most the server gives: a city that has more open alarms has other worries
const FRESH_MS = 20_000; // how long a new alarm stays highlighted
const CANDIDATE_MS = 10 * 60_000; // a candidate that is neither confirmed nor seen again is old news
const CANDIDATES_SHOWN = 20;
const DIGESTS_SHOWN = 5;
const QUEUE_PAGE = 200; // more than staff can bind in a day
const QUEUE_MS = 60_000; // strangers that are refused are no event
const PURPOSE_KEY = 'lezgate.purpose';

let stream = null;
let queueTimer = null;

export const may = (session, permission) => !session?.permissions || session.permissions.includes(permission);
export const isOpen = (alarm) => alarm.state !== 'closed' && !alarm.merged_into; // a merged one lives on in another

/** Once, when the page opens: redeem a sign-in link, or take up the session of the cookie. */
export async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get('signin');
  if (token) {
    history.replaceState(null, '', location.pathname); // a link works once and must not stay in the history
    try {
      await api.redeem(token);
    } catch (problem) {
      const linkIsBad = problem.status >= 400 && problem.status < 500;
      store.set({ session: null, notice: () => (linkIsBad ? t('signin.link_failed') : problem.sentence()) });
      return;
    }
  }
  await resume();
}

async function resume() {
  try {
    begin(await api.session());
  } catch (problem) {
    store.set({ session: null, notice: problem.status === 401 ? null : () => problem.sentence() });
  }
}

export async function signIn(login, password) {
  await api.signIn(login, password);
  await resume();
}

export async function signOut() {
  try {
    await api.signOut();
  } catch {
    // already signed out, or the server is away: this page forgets all the same
  }
  end(null);
}

function begin(session) {
  const purpose = may(session, 'tracks.read') ? sessionStorage.getItem(PURPOSE_KEY) : null;
  store.set({ session, purpose, notice: null, failure: null });
  loadMap();
  listen();
  clearInterval(queueTimer);
  queueTimer = setInterval(loadQueue, QUEUE_MS);
}

function end(notice) {
  stream?.close();
  stream = null;
  clearInterval(queueTimer);
  machines.clear();
  sessionStorage.removeItem(PURPOSE_KEY);
  store.set({
    session: null, notice, purpose: null, alarms: new Map(), candidates: [], digests: [], selected: null, machine: null, zones: [],
    counts: { online: 0, stages: {} }, link: 'connecting', more: null, openMore: false, failure: null,
    queue: { waiting: [], held: [], more: false }, queueOpen: false,
  });
}

/** Run a call; a lost session ends the page's, any other failure is shown above the list. */
async function guarded(work) {
  try {
    return await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) end(() => t('error.signed_out'));
    else store.set({ failure: () => problem.sentence() });
    return undefined;
  }
}

async function loadMap() {
  await guarded(async () => {
    const [zones, districts] = await Promise.all([api.zones(), api.districts()]);
    store.set({
      zones: zones.filter(({ properties }) => (properties.state ?? 'active') === 'active'),
      districts: Object.fromEntries(districts.map((district) => [district.code, district.name])),
    });
  });
}

export function choosePurpose(purpose) {
  sessionStorage.setItem(PURPOSE_KEY, purpose);
  store.set({ purpose });
  listen();
}

export function forgetPurpose() {
  sessionStorage.removeItem(PURPOSE_KEY);
  machines.clear();
  store.set({ purpose: null, machine: null });
  listen();
}

function listen() {
  const { purpose } = store.get();
  stream?.close();
  store.set({ link: 'connecting' });
  // Once: a stream that comes back begins with a frame of every terminal.
  if (purpose) guarded(async () => machines.latest(await api.positions(purpose)));
  stream = new Stream(api.streamAddress({ purpose }), {
    onOpen() {
      store.set({ link: 'live' });
      loadAlarms(); // whatever happened while nobody listened
      loadQueue();
    },
    onLost() {
      store.set({ link: 'lost' });
      guarded(() => api.session()); // the session may have ended: the stream does not say why it broke
    },
    onEvent(kind, data, id) {
      if (kind === 'position') machines.frame(data);
      else if (kind === 'alarm') arrive(data);
      else if (kind === 'digest') digest({ ...data, id });
      else if (data.kind === 'candidate') suspect(data);
      else loadQueue();
    },
  });
}

/** All open alarms, whatever the filter (they are counted and ringed), and the newest page of the filter's own. */
export async function loadAlarms() {
  const { filter, session } = store.get();
  if (!session || !may(session, 'alarms.read')) return;
  await guarded(async () => {
    const asked = [api.alarms({ state: 'open', limit: OPEN_PAGE })];
    if (filter !== 'open') asked.push(api.alarms({ state: stateOf(filter), limit: PAGE }));
    const answers = await Promise.all(asked);
    if (store.get().filter !== filter) return; // another filter was chosen meanwhile
    store.set(({ alarms, selected }) => {
      const next = new Map(answers.flatMap(({ items }) => items).map((alarm) => [alarm.id, alarm]));
      const shown = alarms.get(selected);
      if (shown) next.set(selected, { ...shown, ...next.get(selected) }); // the detail pane keeps what it shows
      return { alarms: next, more: answers.at(-1).next_cursor ?? null, openMore: Boolean(answers[0].next_cursor), failure: null };
    });
  });
}

const stateOf = (filter) => (filter === 'all' ? undefined : filter);

export async function loadMore() {
  const { filter, more } = store.get();
  await guarded(async () => {
    const answer = await api.alarms({ state: stateOf(filter), limit: PAGE, cursor: more });
    if (store.get().more !== more) return;
    const items = answer.items.map((alarm) => [alarm.id, alarm]);
    store.set(({ alarms }) => ({ alarms: new Map([...items, ...alarms]), more: answer.next_cursor ?? null }));
  });
}

export function chooseFilter(filter) {
  store.set({ filter });
  return loadAlarms();
}

function arrive(alarm) {
  const { alarms, fresh, candidates, selected } = store.get();
  const known = alarms.get(alarm.id);
  // Another state allows other steps. The same state keeps them, and with them what is being typed into their form.
  const allowed = known?.state === alarm.state ? known?.allowed : undefined;
  // A digest tells of who did not move, once; what late data found pages nobody.
  const paged = alarm.notice !== 'digest' && (!alarm.late || alarm.paged_at);
  const isNew = !known && paged && (alarm.state === 'new' || alarm.state === 'assigned');
  store.set({
    alarms: new Map(alarms).set(alarm.id, { ...known, ...alarm, allowed }),
    candidates: candidates.filter((one) => one.terminal_phone !== alarm.terminal_phone),
  });
  if (selected === alarm.id) refreshAlarm(alarm.id); // its record, and what is allowed now
  if (!isNew) return;
  store.set({
    fresh: new Set(fresh).add(alarm.id),
    announcement: t('list.arrived', { machine: machineName(alarm.machine, alarm.terminal_phone), zone: alarm.zone?.name ?? name('kind', alarm.kind) }),
  });
  setTimeout(() => store.set((state) => ({ fresh: new Set([...state.fresh].filter((id) => id !== alarm.id)) })), FRESH_MS);
}

function suspect(candidate) {
  const others = store.get().candidates.filter((one) => one.terminal_phone !== candidate.terminal_phone);
  const known = machines.byPhone.get(candidate.terminal_phone);
  const machine = candidate.machine ?? known;
  const time = candidate.time ?? candidate.at_us / 1000; // the device's time
  store.set({ candidates: [{ ...candidate, machine, time, seen: Date.now() }, ...others].slice(0, CANDIDATES_SHOWN) });
}

function digest(one) {
  store.set(({ digests }) => ({ digests: [one, ...digests].slice(0, DIGESTS_SHOWN) }));
}

export const dismissDigest = (id) => store.set(({ digests }) => ({ digests: digests.filter((one) => one.id !== id) }));

/** Once a second: the counts, and candidates that have grown old. */
export function tick(now = Date.now()) {
  const { candidates } = store.get();
  const current = candidates.filter(({ seen }) => now - seen < CANDIDATE_MS);
  store.set({ counts: machines.counts(now), ...(current.length === candidates.length ? {} : { candidates: current }) });
}

export async function openAlarm(id) {
  store.set(({ fresh }) => ({ selected: id, machine: null, fresh: new Set([...fresh].filter((one) => one !== id)) }));
  await refreshAlarm(id);
}

async function refreshAlarm(id) {
  await guarded(async () => keep(await api.alarm(id)));
}

function keep(alarm) {
  store.set(({ alarms }) => ({ alarms: new Map(alarms).set(alarm.id, { ...alarms.get(alarm.id), ...alarm }) }));
}

export const closeAlarm = () => store.set({ selected: null });
export const showMachine = (phone) => store.set({ machine: phone });

/** One step of an alarm's handling. Raises the Problem: the form shows it beside its button. */
export async function act(id, action) {
  keep(await api.act(id, action));
}

/** Terminals that wait for a machine, and those in quarantine. */
export async function loadQueue() {
  const { session } = store.get();
  if (!session || !may(session, 'terminals.read')) return;
  await guarded(async () => {
    const [unbound, held] = await Promise.all(['unbound', 'quarantined'].map((state) => api.terminals({ state, limit: QUEUE_PAGE })));
    store.set({ queue: { waiting: unbound.items, held: held.items, more: Boolean(unbound.next_cursor) } });
  });
}

export function showQueue(queueOpen) {
  store.set({ queueOpen });
  return queueOpen ? loadQueue() : undefined;
}

/** Steps of the queue. They raise the Problem: the row shows it beside its button. */
export async function bindTerminal(phone, number) {
  const { machine } = await api.bind(phone, number);
  store.set({ announcement: t('queue.bound', { phone, number: machine.registration_number ?? number }) });
  await loadQueue();
}

export async function dismissTerminal(phone) {
  await api.dismiss(phone);
  await loadQueue();
}

export async function releaseTerminal(phone) {
  await api.release(phone);
  await loadQueue();
}

/** The machine's way from ten minutes before it entered to ten after it left. */
export async function track(alarm) {
  const MARGIN_MS = 10 * 60_000;
  const from = new Date(Date.parse(alarm.entered_at) - MARGIN_MS).toISOString();
  const to = new Date((alarm.exited_at ? Date.parse(alarm.exited_at) : Date.now()) + MARGIN_MS).toISOString();
  const { purpose } = store.get();
  const answer = await api.track(alarm.terminal_phone, { from, to, purpose, format: 'json', limit: 5000 });
  return answer.items.map((row) => [row.longitude, row.latitude]);
}
