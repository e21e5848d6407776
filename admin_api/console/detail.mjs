// One alarm: what happened, what was done, and the next step.
import { html, useEffect, useRef, useState } from './dom.mjs';
import { findings, gradeInWords, headline, isEntry, place, remedy, told } from './alarmkinds.mjs';
import { NextStep } from './nextstep.mjs';
import { State, Subject } from './alarms.mjs';
import { closeAlarm, may, openAlarm, track } from './desk.mjs';
import { duration, fullMoment } from './format.mjs';
import { name, t } from './i18n.mjs';
import { store, useStore } from './store.mjs';

export function Detail({ drawTrack }) {
  const alarm = useStore((state) => state.alarms.get(state.selected) ?? null);
  const heading = useRef(null);
  const id = alarm?.id;
  useEffect(() => {
    if (id === undefined) return undefined;
    heading.current?.focus({ preventScroll: true });
    return () => drawTrack([]);
  }, [id]);
  if (!alarm) return null;
  const leave = () => {
    closeAlarm();
    document.querySelector(`[data-alarm="${id}"]`)?.focus();
  };
  const escape = ({ key, target }) => {
    if (key === 'Escape' && !target.matches('input, select, textarea')) leave(); // what is typed is not thrown away
  };
  return html`<section class="detail" aria-labelledby="detail-title" onKeyDown=${escape}>
    <div class="detail-head">
      <button type="button" class="plain back" onClick=${leave}>${t('app.back')}</button>
      <h2 id="detail-title" tabindex="-1" ref=${heading}>${t('detail.title', { id })}</h2>
      <${State} state=${alarm.state} />
      <button type="button" class="plain shut" aria-label=${t('app.close')} onClick=${leave}>×</button>
    </div>
    <div class="detail-body">
      <p class="detail-machine"><${Subject} alarm=${alarm} /></p>
      <p class="detail-verdict">${isEntry(alarm) && html`<b>${name('verdict', verdictOf(alarm))}</b>`}${headline(alarm)}</p>
      <${Corrections} alarm=${alarm} />
      <${Facts} alarm=${alarm} />
      <${Track} key=${id} alarm=${alarm} drawTrack=${drawTrack} />
      <h3>${t('detail.timeline')}</h3>
      <${Timeline} alarm=${alarm} />
    </div>
    <${NextStep} key=${`${id} ${alarm.state}`} alarm=${alarm} />
  </section>`;
}

// A machine whose stage nobody knows alarms only where the zone's policy says so: nothing is suspected of it yet.
const verdictOf = ({ verdict, machine }) => verdict ?? (machine?.emission_stage === 'unknown' ? 'unknown' : 'violation');

// What late data made of it: nothing is ever deleted.
function Corrections({ alarm: { merged_into: into, withdrawn_at: at } }) {
  return html`${into && html`<p class="late">${t('detail.merged')} <button type="button" class="plain"
      onClick=${() => openAlarm(into)}>${t('detail.merged_alarm', { id: into })}</button></p>`}
    ${at && html`<p class="late">${t('detail.withdrawn', { time: fullMoment(at) })}</p>`}`;
}

function Facts({ alarm }) {
  const machine = alarm.machine ?? {};
  const districts = useStore((state) => state.districts);
  const zones = useStore((state) => state.zones);
  const notice = alarm.zone && zones.find((zone) => zone.id === alarm.zone.id)?.properties.doc_no;
  const entry = isEntry(alarm);
  const end = alarm.exited_at ? Date.parse(alarm.exited_at) : Date.now();
  const facts = [
    ['detail.found', entry ? null : findings(alarm)],
    ['detail.remedy', remedy(alarm)],
    ['detail.zone', alarm.zone && html`${alarm.zone.name} <span class="tier">${name('tier', alarm.zone.tier)}</span>`],
    ['detail.doc_no', notice],
    ['detail.district', districts[alarm.district] ?? alarm.district],
    ['detail.copied_to', alarm.copied_to && (districts[alarm.copied_to] ?? alarm.copied_to)],
    ['detail.grade', entry ? gradeInWords(alarm) : null],
    ['detail.page', alarm.notice && told(alarm)],
    ['detail.cause', alarm.cause && alarm.cause !== 'crossing' ? name('cause', alarm.cause) : null],
    [entry ? 'detail.entered' : 'detail.began', html`${fullMoment(alarm.entered_at)}${alarm.late ? html` <span class="late">${t('late')}</span>` : ''}`],
    ['detail.confirmed', entry ? fullMoment(alarm.confirmed_at) : null],
    [entry ? 'detail.exited' : 'detail.ended', alarm.exited_at ? fullMoment(alarm.exited_at) : t(entry ? 'list.inside' : 'list.goes_on')],
    [entry ? 'detail.stay' : 'detail.lasted', duration(end - Date.parse(alarm.entered_at))],
    ['detail.place', place(alarm) && html`<span class="figures-font">${place(alarm)}</span>`],
    ['card.terminal', html`<span class="figures-font">${alarm.terminal_phone}</span>`],
    ['detail.power', machine.power_kw ? `${machine.power_kw} kW` : null],
    ['detail.owner', machine.owner_name],
  ];
  return html`<dl class="facts">
    ${facts.filter(([, value]) => value).map(([key, value]) => html`<div><dt>${t(key)}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

function Track({ alarm, drawTrack }) {
  const session = useStore((state) => state.session);
  const purpose = useStore((state) => state.purpose);
  const [shown, show] = useState(null); // null: not asked for; else what the button says
  if (!purpose || !may(session, 'tracks.read')) return null;
  const toggle = async () => {
    if (shown?.drawn) {
      drawTrack([]);
      show(null);
      return;
    }
    try {
      const line = await track(alarm);
      if (store.get().selected !== alarm.id) return; // another alarm was opened meanwhile
      drawTrack(line);
      show({ drawn: line.length > 1, words: () => (line.length > 1 ? '' : t('detail.track_empty')) });
    } catch (problem) {
      show({ drawn: false, words: () => problem.sentence() });
    }
  };
  return html`<p class="track">
    <button type="button" class="secondary" onClick=${toggle}>${t(shown?.drawn ? 'detail.track_hide' : 'detail.track')}</button>
    <span role="status">${shown?.words()}</span>
  </p>`;
}

function Timeline({ alarm }) {
  const actions = alarm.actions ?? [];
  return html`<ol class="timeline">
    <li><time>${fullMoment(alarm.created_at ?? alarm.confirmed_at)}</time>
      <p><b>${t('detail.raised')}</b><span>${t('detail.system')}</span></p></li>
    ${actions.map((step) => html`<li key=${step.id ?? step.at}>
      <time>${fullMoment(step.at)}</time>
      <p><b>${name('action', step.action)}</b><span>${step.actor}</span></p>
      <${Outcome} payload=${{ ...step, ...step.payload }} />
      ${step.note && html`<p class="said">${step.note}</p>`}
    </li>`)}
  </ol>`;
}

function Outcome({ payload: { result, measures, measure } }) {
  const taken = [measures ?? measure ?? []].flat().map((code) => name('measure', code));
  if (!result && !taken.length) return null;
  return html`<p class="outcome">${result && html`<span>${t('act.result')}: <b>${name('result', result)}</b></span>`}
    ${taken.length > 0 && html`<span>${t('act.measures')}: <b>${taken.join(t('rule.list'))}</b></span>`}</p>`;
}
