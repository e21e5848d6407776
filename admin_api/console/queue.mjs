// The queue 待绑定终端: terminals that wait for a machine, each with a form that binds it; above it who is held back.
import { html, useState } from './dom.mjs';
import { bindTerminal, dismissTerminal, may, releaseTerminal, showQueue } from './desk.mjs';
import { fullMoment, moment, number } from './format.mjs';
import { name, t } from './i18n.mjs';
import { useStore } from './store.mjs';

/** In the bar: how many wait, and the way to them. */
export function QueueButton() {
  const { waiting, held, more } = useStore((state) => state.queue);
  const open = useStore((state) => state.queueOpen);
  const count = waiting.length + held.length;
  return html`<button type="button" class=${held.length ? 'figure figure-button strong' : 'figure figure-button'}
    aria-expanded=${open ? 'true' : 'false'} onClick=${() => showQueue(!open)}>
    <span class="figure-label">${t('count.waiting')}</span>
    <span class="figure-value">${number(count)}${more ? '+' : ''}</span>
  </button>`;
}

export function Queue() {
  const { waiting, held, more } = useStore((state) => state.queue);
  const session = useStore((state) => state.session);
  const writes = may(session, 'terminals.write');
  return html`<section class="queue" aria-labelledby="queue-title">
    <div class="detail-head">
      <h2 id="queue-title">${t('queue.title')}</h2>
      <button type="button" class="plain shut-queue" aria-label=${t('app.close')} onClick=${() => showQueue(false)}>×</button>
    </div>
    <div class="queue-body">
      ${held.length > 0 && html`<h3>${t('queue.held')}</h3>
        <ul>${held.map((one) => html`<${Held} key=${one.phone} terminal=${one} writes=${writes} />`)}</ul>`}
      <p class="hint">${t('queue.note')}</p>
      ${!waiting.length && html`<p class="empty">${t('queue.empty')}</p>`}
      <ul>${waiting.map((one) => html`<${Waiting} key=${one.phone} terminal=${one} writes=${writes} />`)}</ul>
      ${more && html`<p class="hint">${t('queue.more', { n: number(waiting.length) })}</p>`}
    </div>
  </section>`;
}

/** Runs a step of staff; what the server has against it is shown beside its button. */
function useStep() {
  const [busy, wait] = useState(false);
  const [problem, refuse] = useState(null);
  const run = async (step) => {
    wait(true);
    refuse(null);
    try {
      await step();
    } catch (error) {
      refuse(() => error);
    }
    wait(false);
  };
  return { busy, problem, run };
}

function Waiting({ terminal, writes }) {
  const { phone, refusal } = terminal;
  const { busy, problem, run } = useStep();
  const submit = (event) => {
    event.preventDefault();
    const wanted = event.target.elements.number.value.trim();
    if (wanted) run(() => bindTerminal(phone, wanted));
  };
  return html`<li class="waiting" data-phone=${phone}>
    <p class="waiting-who"><strong class="reg">${phone}</strong>
      <span class="grade">${refusal ? name('refusal', refusal.result) : t('queue.enrolled')}</span></p>
    <dl class="facts">
      ${refusal?.plate && html`<div><dt>${t('queue.plate')}</dt><dd>${refusal.plate}</dd></div>`}
      ${terminal.maker && html`<div><dt>${t('queue.maker')}</dt><dd>${[terminal.maker, terminal.model].filter(Boolean).join(' / ')}</dd></div>`}
      ${refusal && html`<div><dt>${t('queue.asked')}</dt><dd title=${fullMoment(refusal.last_seen)}>
        ${t('queue.attempts', { n: number(refusal.attempts), time: moment(refusal.last_seen) })}</dd></div>`}
    </dl>
    ${writes && refusal?.machine?.terminal_phone && html`<p class="late">
      ${t('queue.replaces', { phone: refusal.machine.terminal_phone })}</p>`}
    ${writes && html`<form class="waiting-form" onSubmit=${submit}>
      <input class="field" name="number" required maxlength="40" autocomplete="off"
        value=${refusal?.machine?.registration_number ?? ''} aria-label=${t('queue.number')} placeholder=${t('queue.number')} />
      <button type="submit" class="primary" disabled=${busy}>${t('queue.bind')}</button>
      ${!terminal.enrolled && html`<button type="button" class="plain" disabled=${busy}
        onClick=${() => run(() => dismissTerminal(phone))}>${t('queue.dismiss')}</button>`}
    </form>`}
    ${problem && html`<p class="problem" role="alert">${problem.sentence()}</p>`}
  </li>`;
}

function Held({ terminal, writes }) {
  const { phone, machine, quarantined_until: until } = terminal;
  const { busy, problem, run } = useStep();
  return html`<li class="waiting held" data-phone=${phone}>
    <p class="waiting-who"><strong class="reg">${phone}</strong><span>${machine?.registration_number ?? ''}</span></p>
    <p>${t('queue.held_until', { time: moment(until) })}</p>
    ${writes && html`<button type="button" class="secondary" disabled=${busy}
      onClick=${() => run(() => releaseTerminal(phone))}>${t('queue.release')}</button>`}
    ${problem && html`<p class="problem" role="alert">${problem.sentence()}</p>`}
  </li>`;
}
