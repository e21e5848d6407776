// Digests: who was inside already when something took effect. One line each, until it is dismissed.
import { html } from './dom.mjs';
import { dismissDigest } from './desk.mjs';
import { moment, number } from './format.mjs';
import { name, t } from './i18n.mjs';
import { useStore } from './store.mjs';

export function digestInWords({ district, alarms, causes }, districts) {
  const each = Object.entries(causes ?? {}).sort((a, b) => b[1] - a[1]).map(([cause, n]) => `${name('cause', cause)} ${number(n)}`);
  return t('digest.line', { district: districts[district] ?? district, n: number(alarms), causes: each.join(t('rule.list')) });
}

export function Digests() {
  const digests = useStore((state) => state.digests);
  const districts = useStore((state) => state.districts);
  if (!digests.length) return null;
  return html`<section class="digests" aria-label=${t('digest.title')}>
    ${digests.map((one) => html`<p key=${one.id} class="digest">
      <b>${t('digest.title')}</b> <time>${moment(one.until)}</time>
      <span>${digestInWords(one, districts)}</span>
      <button type="button" class="plain" onClick=${() => dismissDigest(one.id)}>${t('digest.seen')}</button>
    </p>`)}
  </section>`;
}
