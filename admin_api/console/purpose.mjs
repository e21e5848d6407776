// Why somebody looks at positions: asked before the map shows any, sent with every request for them.
import { html, useState } from './dom.mjs';
import { choosePurpose } from './desk.mjs';
import { t } from './i18n.mjs';

// What is sent is the Chinese word in either language, so the audit reads in one.
export const PURPOSES = [
  { key: 'purpose.routine', sent: '日常监管' },
  { key: 'purpose.alarm', sent: '报警处理' },
  { key: 'purpose.inspection', sent: '执法检查' },
];
const OTHER = 'other';
const LONGEST = 100;

export function PurposeForm() {
  const [choice, choose] = useState(PURPOSES[0].sent);
  const [text, write] = useState('');
  const submit = (event) => {
    event.preventDefault();
    const purpose = choice === OTHER ? text.trim() : choice;
    if (purpose) choosePurpose(purpose);
  };
  const option = (value, words) => html`<label class="choice">
    <input type="radio" name="purpose" value=${value} checked=${choice === value} onChange=${() => choose(value)} />
    <span>${words}</span>
  </label>`;
  return html`<form class="purpose" onSubmit=${submit} aria-labelledby="purpose-title">
    <h2 id="purpose-title">${t('purpose.title')}</h2>
    <p class="hint">${t('purpose.why')}</p>
    <div class="choices" role="radiogroup" aria-labelledby="purpose-title">
      ${PURPOSES.map(({ key, sent }) => option(sent, t(key)))}
      ${option(OTHER, t('purpose.other'))}
    </div>
    ${choice === OTHER && html`<input class="field" type="text" required maxlength=${LONGEST} value=${text}
      aria-label=${t('purpose.other_label')} placeholder=${t('purpose.other_label')}
      onInput=${(event) => write(event.target.value)} />`}
    <button type="submit" class="primary">${t('purpose.submit')}</button>
  </form>`;
}
