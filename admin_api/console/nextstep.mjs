// The form at the foot of an alarm: what its state asks for next. The server decides; a refusal is shown here.
import { html, useState } from './dom.mjs';
import { OtherActions } from './actionform.mjs';
import { act } from './desk.mjs';
import { codes, name, t } from './i18n.mjs';

const LONGEST_NOTE = 2000;
const STEP_OF_STATE = {
  new: 'accept', assigned: 'accept', accepted: 'feedback', in_progress: 'feedback', feedback: 'close',
};
const FORMS = { accept: Accept, feedback: Feedback, close: Close };
// Results that are steps of their own: they are offered there, with the note they need.
const OWN_STEPS = ['exempt'];

export function NextStep({ alarm }) {
  const [problem, fail] = useState(null);
  const [busy, wait] = useState(false);
  const { allowed } = alarm; // comes with the whole alarm, a moment after its row
  if (!allowed) return null;
  const step = allowed.includes(STEP_OF_STATE[alarm.state]) ? STEP_OF_STATE[alarm.state] : null;
  const closed = alarm.state === 'closed';
  if (!allowed.length && !closed) return html`<p class="step done">${t('detail.readonly')}</p>`;
  const refuse = (key) => fail(() => () => t(key));
  const send = async (action) => {
    wait(true);
    fail(null);
    try {
      await act(alarm.id, action);
    } catch (error) {
      fail(() => () => error.sentence());
    }
    wait(false);
  };
  return html`<section class="step" aria-labelledby="step-title">
    <h3 id="step-title">${t(closed ? 'detail.done' : 'detail.next')}</h3>
    ${step && html`<${FORMS[step]} send=${send} busy=${busy} refuse=${refuse} />`}
    <${OtherActions} allowed=${allowed.filter((action) => action !== step)} send=${send} busy=${busy} refuse=${refuse} />
    ${problem && html`<p class="problem" role="alert">${problem()}</p>`}
  </section>`;
}

function Accept({ send, busy }) {
  return html`<div class="step-form">
    <p class="hint">${t('act.accept_hint')}</p>
    <button type="button" class="primary" disabled=${busy} onClick=${() => send({ action: 'accept' })}>
      ${t(busy ? 'act.busy' : 'act.accept')}</button>
  </div>`;
}

function Feedback({ send, busy, refuse }) {
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const result = form.get('result');
    if (!result) {
      refuse('act.result_required');
      event.target.elements.result.focus();
      return;
    }
    send({ action: 'feedback', result, measures: form.getAll('measures'), note: form.get('note').trim() });
  };
  return html`<form class="step-form" novalidate onSubmit=${submit}>
    <label>${t('act.result')}
      <select class="field" name="result" required>
        <option value="">${t('act.choose')}</option>
        ${codes('result').filter((code) => !OWN_STEPS.includes(code)).map((code) => html`<option value=${code}>${name('result', code)}</option>`)}
      </select>
    </label>
    <fieldset><legend>${t('act.measures')}</legend>
      <div class="ticks">${codes('measure').map((code) => html`<label class="tick">
        <input type="checkbox" name="measures" value=${code} /><span>${name('measure', code)}</span></label>`)}</div>
    </fieldset>
    <label>${t('act.note_optional')}<textarea class="field" name="note" rows="2" maxlength=${LONGEST_NOTE}></textarea></label>
    <button type="submit" class="primary" disabled=${busy}>${t(busy ? 'act.busy' : 'act.feedback')}</button>
  </form>`;
}

function Close({ send, busy, refuse }) {
  const submit = (event) => {
    event.preventDefault();
    const { note } = event.target.elements;
    if (!note.value.trim()) {
      refuse('act.required');
      note.focus();
      return;
    }
    send({ action: 'close', note: note.value.trim() });
  };
  return html`<form class="step-form" novalidate onSubmit=${submit}>
    <label>${t('act.close_note')}<textarea class="field" name="note" rows="2" required maxlength=${LONGEST_NOTE}></textarea></label>
    <button type="submit" class="primary" disabled=${busy}>${t(busy ? 'act.busy' : 'act.close')}</button>
  </form>`;
}
