// The page: decides between the door and the desk, and keeps document title and language in step.
import { Alarms } from './alarms.mjs';
import { may, start } from './desk.mjs';
import { Detail } from './detail.mjs';
import { html, render, useEffect, useMemo } from './dom.mjs';
import { Header } from './header.mjs';
import { currentLanguage, t } from './i18n.mjs';
import { isWide, MapView } from './mapview.mjs';
import { Queue } from './queue.mjs';
import { SignIn } from './signin.mjs';
import { store, useStore } from './store.mjs';

const WAITING = ['new', 'assigned'];

function Page() {
  const language = useStore((state) => state.language);
  const session = useStore((state) => state.session);
  const waiting = useStore((state) => [...state.alarms.values()].filter((alarm) => WAITING.includes(alarm.state)).length);
  useEffect(() => {
    document.documentElement.lang = language === 'en' ? 'en' : 'zh-CN';
    document.title = `${session && waiting ? `(${waiting}) ` : ''}${t('app.name')} · lezgate`;
  }, [language, session, waiting]);
  if (session === undefined) return html`<p class="loading" role="status">${t('app.loading')}</p>`;
  return session ? html`<${Desk} />` : html`<${SignIn} />`;
}

function Desk() {
  const session = useStore((state) => state.session);
  const selected = useStore((state) => state.selected);
  const announcement = useStore((state) => state.announcement);
  const view = useMemo(() => ({ map: null }), []);
  const queueOpen = useStore((state) => state.queueOpen);
  const reads = may(session, 'alarms.read');
  const look = ({ longitude, latitude }) => {
    requestAnimationFrame(() => { // the pane of the alarm is there only then
      const pane = document.querySelector('.detail'); // over the map, unless the screen is narrow
      view.map?.setCovered({ right: pane && isWide() ? pane.offsetWidth : 0 });
      if (typeof longitude === 'number') view.map?.flyTo(longitude, latitude);
    });
  };
  useEffect(() => {
    if (selected === null) view.map?.setCovered({});
  }, [selected]);
  return html`<div class=${`desk${selected === null ? '' : ' with-detail'}${reads ? '' : ' map-only'}`}>
    <a class="skip" href="#alarms">${t('app.skip')}</a>
    <${Header} />
    <main class="work">
      <${MapView} view=${view} />
      ${queueOpen && html`<${Queue} />`}
      ${reads && html`<${Detail} drawTrack=${(line) => view.map?.setTrack(line)} />`}
      ${reads && html`<${Alarms} look=${look} />`}
    </main>
    <p class="unseen" aria-live="polite">${announcement}</p>
  </div>`;
}

store.set({ language: currentLanguage() });
render(html`<${Page} />`, document.getElementById('app'));
start();
