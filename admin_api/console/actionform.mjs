// Any step but the usual next one: hand over, send back, reopen, add a remark. Only what the server allows is offered.
import { html, useState } from './dom.mjs';
import { name, t } from './i18n.mjs';
import { useStore } from './store.mjs';

const NEEDS_DISTRICT = ['assign', 'transfer'];
const NEEDS_NO_NOTE = ['assign', 'start'];

export function OtherActions({ allowed, send, busy, refuse }) {
  const districts = useStore((state) => state.districts);
  const [action, choose] = useState('');
  if (!allowed.length) return null;
  const needsDistrict = NEEDS_DISTRICT.includes(action);
  const needsNote = !NEEDS_NO_NOTE.includes(action);
  const submit = (event) => {
    event.preventDefault();
    const form = event.target.elements;
    const note = form.note.value.trim();
    if (needsNote && !note) {
      refuse('act.note_required');
      form.note.focus();
      return;
    }
    send({ action, ...(note && { note }), ...(needsDistrict && { district: form.district.value }) });
  };
  return html`<details class="other">
    <summary>${t('act.other')}</summary>
    <form class="step-form" novalidate onSubmit=${submit}>
      <select class="field" name="action" aria-label=${t('act.other')} value=${action} onChange=${(event) => choose(event.target.value)}>
        <option value="">${t('act.choose')}</option>
        ${allowed.map((code) => html`<option value=${code}>${name('action', code)}</option>`)}
      </select>
      ${needsDistrict && html`<label>${t('act.district')}<select class="field" name="district">
        ${Object.entries(districts).map(([code, words]) => html`<option value=${code}>${words}</option>`)}
      </select></label>`}
      ${action && html`<label>${t(needsNote ? 'act.note' : 'act.note_optional')}
        <textarea class="field" name="note" rows="2" maxlength="2000"></textarea></label>
        <button type="submit" class="secondary" disabled=${busy}>${name('action', action)}</button>`}
    </form>
  </details>`;
}
