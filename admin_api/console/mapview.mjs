// The map's pane: the map itself, its few buttons, the legend and the card of one machine.
import { html, useEffect, useRef, useState } from './dom.mjs';
import { isEntry, place } from './alarmkinds.mjs';
import { isOpen, machines, may, openAlarm, showMachine, tick } from './desk.mjs';
import { course, fullMoment, machineType, number, shortStage, speed } from './format.mjs';
import { name, t } from './i18n.mjs';
import { isOnline } from './machines.mjs';
import { CityMap } from './map.mjs';
import { STAGES } from './mapstyle.mjs';
import { PurposeForm } from './purpose.mjs';
import { store, useStore } from './store.mjs';

const FRAME_MS = 1000; // the stream sends one frame a second; drawing more often shows nothing new

// As in style.css: below it the list is under the map, and a machine's card at the map's foot.
export const isWide = () => matchMedia('(min-width: 900px)').matches;
const CARD_PX = 160;

export function MapView({ view }) {
  const box = useRef(null);
  const [failed, fail] = useState(false);
  const zones = useStore((state) => state.zones);
  const session = useStore((state) => state.session);
  const purpose = useStore((state) => state.purpose);
  const machine = useStore((state) => state.machine);
  const selected = useStore((state) => state.selected);

  useEffect(() => {
    try {
      view.map = new CityMap(box.current, { onPick: showMachine });
    } catch {
      fail(true); // no WebGL: counts, lists and cards work on
    }
    const timer = setInterval(() => {
      tick();
      if (view.map) draw(view.map);
    }, FRAME_MS);
    return () => {
      clearInterval(timer);
      view.map?.remove();
      view.map = null;
    };
  }, []);
  useEffect(() => view.map?.name(t('map.label')));
  useEffect(() => view.map?.setZones(zones), [zones]);
  useEffect(() => {
    machines.changed = true; // another ring
  }, [machine, selected]);

  return html`<section class="map" aria-label=${t('map.label')}>
    <div class="map-box" ref=${box}></div>
    ${failed && html`<p class="map-failed">${t('map.failed')}</p>`}
    <${Tools} view=${view} ready=${Boolean(purpose)} />
    ${may(session, 'tracks.read') && !purpose && html`<div class="map-veil"><${PurposeForm} /></div>`}
    ${purpose && html`<${Legend} />`}
    ${machine && html`<${Card} phone=${machine} />`}
  </section>`;
}

// Rings follow machines and alarms, so all are drawn from the same moment; nothing is sent when nothing moved.
let drawn = {};

function draw(map) {
  const { alarms, candidates, machine, selected } = store.get();
  const now = Date.now();
  if (machines.changed || drawn.alarms !== alarms || drawn.candidates !== candidates || drawn.map !== map) {
    const inside = [...alarms.values()].filter((alarm) => isOpen(alarm) && isEntry(alarm) && !alarm.exited_at && !alarm.withdrawn_at);
    map.setMachines(
      machines.collection(now),
      machines.subset(new Set(inside.map(({ terminal_phone: phone }) => phone))),
      machines.subset(candidates.map(({ terminal_phone: phone }) => phone)),
    );
    const picked = machines.byPhone.get(machine);
    const alarm = alarms.get(selected);
    map.setPicked(picked ? [picked.longitude, picked.latitude] : alarm && place(alarm) ? [alarm.longitude, alarm.latitude] : null);
    machines.changed = false;
    drawn = { alarms, candidates, map };
  }
}

function Tools({ view, ready }) {
  const [missed, miss] = useState(false);
  const find = (event) => {
    event.preventDefault();
    const found = machines.find(event.target.elements.number.value);
    miss(!found);
    if (!found) return;
    showMachine(found.phone);
    if (!isWide()) view.map?.setCovered({ bottom: CARD_PX });
    view.map?.flyTo(found.longitude, found.latitude);
  };
  const button = (key, sign, action) => html`<button type="button" aria-label=${t(key)} title=${t(key)} onClick=${action}>${sign}</button>`;
  return html`<div class="tools">
    ${ready && html`<form class="find" role="search" onSubmit=${find}>
      <input type="search" name="number" autocomplete="off" aria-label=${t('map.find')} placeholder=${t('map.find')}
        onInput=${() => miss(false)} />
      ${missed && html`<span role="alert">${t('map.not_found')}</span>`}
    </form>`}
    <div class="zoom">
      ${button('map.zoom_in', '+', () => view.map?.zoomBy(1))}
      ${button('map.zoom_out', '−', () => view.map?.zoomBy(-1))}
      ${button('map.fit', html`<i class="fit" aria-hidden="true"></i>`, () => view.map?.fit())}
    </div>
  </div>`;
}

function Legend() {
  const stages = useStore((state) => state.counts.stages);
  const [open] = useState(isWide);
  return html`<details class="legend" open=${open}>
    <summary>${t('legend.title')}</summary>
    <table>
      <caption>${t('legend.stages')}</caption>
      <tbody>
        ${STAGES.map((stage) => html`<tr key=${stage} title=${name('stage', stage)}>
          <td><i class=${`dot stage-${stage}`} aria-hidden="true"></i></td>
          <th scope="row">${shortStage(stage)}</th>
          <td class="count">${number(stages[stage] ?? 0)}</td>
        </tr>`)}
      </tbody>
    </table>
    <ul>
      <li><i class="ring-sign" aria-hidden="true"></i>${t('legend.ring')}</li>
      <li><i class="ring-sign suspect-sign" aria-hidden="true"></i>${t('candidate.title')}</li>
      <li><i class="zone-sign core-sign" aria-hidden="true"></i>${t('tier.core')}</li>
      <li><i class="zone-sign" aria-hidden="true"></i>${t('tier.general')}</li>
    </ul>
  </details>`;
}

function Card({ phone }) {
  useStore((state) => state.counts); // once a second, with the map
  const alarm = useStore((state) => [...state.alarms.values()].find((one) => one.terminal_phone === phone && isOpen(one)));
  const machine = machines.byPhone.get(phone);
  if (!machine) return null;
  const facts = [
    ['card.stage', html`<i class=${`dot stage-${machine.emission_stage ?? 'unknown'}`} aria-hidden="true"></i>${name('stage', machine.emission_stage ?? 'unknown')}`],
    ['card.speed', speed(machine.speed_kmh)],
    ['card.course', course(machine.course_deg)],
    ['card.time', `${fullMoment(machine.time)} ${t(isOnline(machine) ? 'card.online' : 'card.offline')}`],
    ['card.terminal', phone],
  ];
  return html`<section class="card" aria-label=${t('card.title')}>
    <h3><strong>${machineType(machine.machine_type)}</strong>
      <span class="reg">${machine.registration_number ?? t('card.unbound')}</span>
      <button type="button" class="plain" aria-label=${t('app.close')} onClick=${() => showMachine(null)}>×</button></h3>
    <dl class="facts">${facts.map(([key, value]) => html`<div><dt>${t(key)}</dt><dd>${value}</dd></div>`)}</dl>
    ${alarm && html`<button type="button" class="secondary" onClick=${() => openAlarm(alarm.id)}>${t('card.alarm')}</button>`}
  </section>`;
}
