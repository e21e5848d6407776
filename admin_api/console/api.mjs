// Calls to our own server, and its one shape of error (problem+json) as an exception that speaks both languages.
import { currentLanguage, t } from './i18n.mjs';

const BASE = '/api/v1';

export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
  }

  /** What went wrong, in the page's language where the server knows it. */
  sentence() {
    const { title, title_zh, detail, detail_zh } = this.body;
    const said = currentLanguage() === 'zh' ? (detail_zh ?? title_zh ?? detail ?? title) : (detail ?? title);
    if (said) return said;
    return this.status ? t('error.server', { status: this.status }) : t('error.network');
  }
}

async function call(method, path, body) {
  const headers = { Accept: 'application/json' };
  if (method !== 'GET') headers['X-Lezgate'] = '1'; // another site's form cannot set it
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0);
  }
  const text = await response.text();
  let document = {};
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    // not JSON: a proxy's page, say; the status tells enough
  }
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}

const query = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
};

/** Every item of a list that comes in pages; `limit` pages at most, so a fault on the server cannot hold the page. */
async function all(path, values = {}, limit = 50) {
  const items = [];
  let cursor;
  for (let page = 0; page < limit; page += 1) {
    const answer = await call('GET', path + query({ ...values, cursor }));
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

export const api = {
  session: () => call('GET', '/session'),
  signIn: (login, password) => call('POST', '/session', { login, password }),
  redeem: (token) => call('POST', '/session/link', { token }),
  signOut: () => call('DELETE', '/session'),
  zones: () => all('/zones'),
  districts: () => all('/districts'),
  positions: (purpose) => all('/positions/latest', { purpose }),
  alarms: (values) => call('GET', `/alarms${query(values)}`),
  alarm: (id) => call('GET', `/alarms/${encodeURIComponent(id)}`),
  act: (id, action) => call('POST', `/alarms/${encodeURIComponent(id)}/actions`, action),
  track: (phone, values) => call('GET', `/terminals/${encodeURIComponent(phone)}/track${query(values)}`),
  terminals: (values) => call('GET', `/terminals${query(values)}`),
  bind: (phone, number) => call('POST', `/terminals/${encodeURIComponent(phone)}/bindings`, { registration_number: number }),
  dismiss: (phone) => call('POST', `/terminals/${encodeURIComponent(phone)}/dismiss`),
  release: (phone) => call('POST', `/terminals/${encodeURIComponent(phone)}/release`),
  streamAddress: (values) => `${BASE}/stream${query(values)}`,
};
