// The bar on top: which system, which data, how live, how much is open, who looks and what for.
import { html } from './dom.mjs';
import { forgetPurpose, isOpen, may, signOut } from './desk.mjs';
import { number } from './format.mjs';
import { currentLanguage, name, setLanguage, t } from './i18n.mjs';
import { PURPOSES } from './purpose.mjs';
import { QueueButton } from './queue.mjs';
import { store, useStore } from './store.mjs';

export function LanguageSwitch() {
  const other = currentLanguage() === 'zh' ? 'en' : 'zh';
  const change = () => {
    setLanguage(other);
    store.set({ language: other });
  };
  return html`<button type="button" class="plain" lang=${other === 'en' ? 'en' : 'zh-CN'}
    title=${t('app.other_language_title')} onClick=${change}>${t('app.other_language')}</button>`;
}

function Figure({ label, value, strong }) {
  return html`<div class=${strong ? 'figure strong' : 'figure'}>
    <span class="figure-label">${label}</span><span class="figure-value">${value}</span>
  </div>`;
}

/** A purpose in the page's language: ours by key, another as it was typed. */
export function purposeWords(purpose) {
  const known = PURPOSES.find(({ sent }) => sent === purpose);
  return known ? t(known.key) : purpose;
}

// The page itself is marked, since the sign-in form must say so too.
export function DemoMark() {
  return 'demo' in document.documentElement.dataset && html`<p class="demo">${t('app.demo')}</p>`;
}

export function Header() {
  const session = useStore((state) => state.session);
  const link = useStore((state) => state.link);
  const purpose = useStore((state) => state.purpose);
  const online = useStore((state) => state.counts.online);
  const open = useStore((state) => openCount(state));
  const district = useStore((state) => state.districts[session.district] ?? session.district);
  return html`<header class="bar">
    <h1 class="brand"><span>${t('app.name')}</span><span class="brand-latin">lezgate</span></h1>
    <${DemoMark} />
    <div class="figures">
      <${Figure} label=${t('count.online')} value=${purpose ? number(online) : t('app.none')} />
      ${may(session, 'alarms.read') && html`<${Figure} label=${t('count.open')} value=${open} strong=${open !== '0'} />`}
      ${may(session, 'terminals.read') && html`<${QueueButton} />`}
    </div>
    <p class=${`link link-${link}`} role="status">${t(`link.${link}`)}</p>
    <div class="bar-end">
      ${purpose && html`<p class="purpose-now">
        <span>${t('purpose.label')}</span><strong title=${purposeWords(purpose)}>${purposeWords(purpose)}</strong>
        <button type="button" class="plain" onClick=${forgetPurpose}>${t('purpose.change')}</button>
      </p>`}
      <p class="who" title=${session.login}>${name('role', session.role)}<span>${district ?? t('app.whole_city')}</span></p>
      <${LanguageSwitch} />
      <button type="button" class="plain" onClick=${signOut}>${t('app.sign_out')}</button>
    </div>
  </header>`;
}

// Where there are more than were loaded, the figure says "at least".
function openCount({ alarms, openMore }) {
  let count = 0;
  for (const alarm of alarms.values()) if (isOpen(alarm)) count += 1;
  return number(count) + (openMore ? '+' : '');
}
