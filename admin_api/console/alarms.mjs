// The list beside the map: possible entries as a strip, then alarms, newest first.
import { html, useEffect, useState } from './dom.mjs';
import { findings, hasMachine, headline, isEntry } from './alarmkinds.mjs';
import { chooseFilter, isOpen, loadAlarms, loadMore, openAlarm } from './desk.mjs';
import { Digests } from './digests.mjs';
import { duration, elapsed, fullMoment, machineType, moment, shortStage } from './format.mjs';
import { name, t } from './i18n.mjs';
import { useStore } from './store.mjs';

const FILTERS = ['open', 'all', 'closed'];
const CLOCK_MS = 10_000; // elapsed times are in minutes

export function Alarms({ look }) {
  const alarms = useStore((state) => state.alarms);
  const filter = useStore((state) => state.filter);
  const fresh = useStore((state) => state.fresh);
  const selected = useStore((state) => state.selected);
  const more = useStore((state) => state.more);
  const failure = useStore((state) => state.failure);
  const [now, tell] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tell(Date.now()), CLOCK_MS);
    return () => clearInterval(timer);
  }, []);

  const wanted = { open: isOpen, all: () => true, closed: (alarm) => !isOpen(alarm) }[filter];
  const rows = [...alarms.values()].filter(wanted).sort((a, b) => b.id - a.id);
  const choose = (alarm) => {
    openAlarm(alarm.id);
    look(alarm);
  };
  return html`<section class="alarms" id="alarms" aria-label=${t('list.title')} tabindex="-1">
    <${Candidates} look=${look} />
    <${Digests} />
    <div class="alarms-head">
      <h2>${t('list.title')}</h2>
      <div class="tabs" role="group" aria-label=${t('list.filter')}>
        ${FILTERS.map((each) => html`<button type="button" aria-pressed=${filter === each ? 'true' : 'false'}
          onClick=${() => chooseFilter(each)}>${t(`list.${each}`)}</button>`)}
      </div>
    </div>
    ${failure && html`<p class="problem" role="alert">${failure()}
      <button type="button" class="plain" onClick=${loadAlarms}>${t('app.retry')}</button></p>`}
    <ol class="rows">
      ${rows.map((alarm) => html`<${Row} key=${alarm.id} alarm=${alarm} now=${now} fresh=${fresh.has(alarm.id)}
        current=${selected === alarm.id} choose=${choose} />`)}
    </ol>
    ${!rows.length && !failure && html`<p class="empty">${t(filter === 'open' ? 'list.empty_open' : 'list.empty')}</p>`}
    ${more && html`<button type="button" class="more" onClick=${loadMore}>${t('list.more')}</button>`}
  </section>`;
}

function Row({ alarm, now, fresh, current, choose }) {
  const entry = isEntry(alarm);
  return html`<li>
    <button type="button" class=${`row${fresh ? ' fresh' : ''}${isOpen(alarm) ? '' : ' closed'}`} data-alarm=${alarm.id}
      aria-current=${current ? 'true' : null} onClick=${() => choose(alarm)}>
      <span class="row-what">
        ${entry
          ? html`<span class=${`grade grade-${alarm.grade}`}>${name('grade', alarm.grade)}</span>`
          : html`<span class="grade kind">${name('kind', alarm.kind)}</span>`}
        <${Subject} alarm=${alarm} />
      </span>
      <${State} state=${alarm.state} />
      <span class="row-where">${alarm.zone
        && html`<span>${alarm.zone.name}</span><span class="tier">${name('tier', alarm.zone.tier)}</span>`}</span>
      <span class="row-ago">${isOpen(alarm) ? elapsed(alarm.entered_at, now) : ''}</span>
      <span class="row-rule">${entry ? headline(alarm) : findings(alarm)}</span>
      <span class="row-when">
        ${fresh && html`<b class="new">${t('list.new')}</b>`}
        <span title=${fullMoment(alarm.entered_at)}>${t(entry ? 'list.entered' : 'list.began')} ${moment(alarm.entered_at, now)}</span>
        <span>${alarm.exited_at
          ? t(entry ? 'list.stayed' : 'list.lasted', { time: duration(new Date(alarm.exited_at) - new Date(alarm.entered_at)) })
          : t(entry ? 'list.inside' : 'list.goes_on')}</span>
        ${alarm.cause && alarm.cause !== 'crossing' && html`<span>${name('cause', alarm.cause)}</span>`}
        ${alarm.withdrawn_at && html`<span class="late">${name('action', 'withdrawn')}</span>`}
        ${alarm.merged_into && html`<span class="late">${name('action', 'merged')}</span>`}
        ${alarm.late && html`<span class="late">${t('late')}</span>`}
      </span>
    </button>
  </li>`;
}

/** Whose alarm it is: a machine with its stage, or a terminal where it is about no machine. */
export function Subject({ alarm }) {
  const machine = alarm.machine ?? {};
  return html`<strong>${hasMachine(alarm) ? machineType(machine.machine_type) : t('card.terminal')}</strong>
    ${hasMachine(alarm) && html`<${Stage} stage=${machine.emission_stage} />`}
    <span class="reg">${machine.registration_number ?? alarm.terminal_phone}</span>`;
}

function Stage({ stage }) {
  const known = stage ?? 'unknown';
  return html`<span class="stage"><i class=${`dot stage-${known}`} aria-hidden="true"></i>${shortStage(known)}</span>`;
}

export function State({ state }) {
  return html`<span class=${`state state-${state}`}>${name('state', state)}</span>`;
}

function Candidates({ look }) {
  const candidates = useStore((state) => state.candidates);
  if (!candidates.length) return null;
  return html`<section class="candidates" aria-label=${t('candidate.title')}>
    <h2>${t('candidate.title')} <b>${candidates.length}</b><span>${t('candidate.note')}</span></h2>
    <ul>
      ${candidates.map((one) => html`<li key=${one.terminal_phone}>
        <button type="button" onClick=${() => look(one)}>
          <time>${moment(one.time)}</time>
          <span>${machineType(one.machine?.machine_type)} ${one.machine?.registration_number ?? one.terminal_phone}</span>
          <span class="candidate-zone">${one.zone?.name}</span>
        </button>
      </li>`)}
    </ul>
  </section>`;
}
