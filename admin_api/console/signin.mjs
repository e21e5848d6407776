// The door: account and password. A one-time link is redeemed before this is ever shown (desk.mjs).
import { html, useState } from './dom.mjs';
import { signIn } from './desk.mjs';
import { DemoMark, LanguageSwitch } from './header.mjs';
import { t } from './i18n.mjs';
import { useStore } from './store.mjs';

export function SignIn() {
  const notice = useStore((state) => state.notice);
  const [problem, fail] = useState(null);
  const [busy, wait] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const { login, password } = event.target.elements;
    wait(true);
    fail(null);
    try {
      await signIn(login.value, password.value);
    } catch (error) {
      fail(() => () => (error.status === 401 && !error.body.detail ? t('error.credentials') : error.sentence()));
      password.value = '';
      password.focus();
      wait(false);
    }
  };
  const message = problem ? problem() : notice?.();
  return html`<main class="door">
    <div class="door-top"><${DemoMark} /><${LanguageSwitch} /></div>
    <form class="door-form" onSubmit=${submit}>
      <h1>${t('app.name')}<span>lezgate</span></h1>
      <h2>${t('signin.title')}</h2>
      <label>${t('signin.login')}<input class="field" name="login" autocomplete="username" required autofocus /></label>
      <label>${t('signin.password')}<input class="field" name="password" type="password" autocomplete="current-password" required /></label>
      ${message && html`<p class="problem" role="alert">${message}</p>`}
      <button type="submit" class="primary" disabled=${busy}>${t(busy ? 'signin.busy' : 'signin.submit')}</button>
      <p class="hint">${t('signin.note')}</p>
    </form>
  </main>`;
}
