// Values as people read them. Times are shown in China's one zone wherever the browser stands.
import { codeOf, currentLanguage, name, t, WORDS } from './i18n.mjs';

const PARTS = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'Asia/Shanghai', hourCycle: 'h23',
  year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
});

function parts(time) {
  return Object.fromEntries(PARTS.formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
}

/** 14:03:22 today, 11-22 14:03 in this year, else with the year. */
export function moment(time, now = Date.now()) {
  if (!time) return t('app.none');
  const at = parts(time);
  const today = parts(now);
  if (at.year !== today.year) return `${at.year}-${at.month}-${at.day} ${at.hour}:${at.minute}`;
  if (at.month !== today.month || at.day !== today.day) return `${at.month}-${at.day} ${at.hour}:${at.minute}`;
  return `${at.hour}:${at.minute}:${at.second}`;
}

export function fullMoment(time) {
  if (!time) return t('app.none');
  const at = parts(time);
  return `${at.year}-${at.month}-${at.day} ${at.hour}:${at.minute}:${at.second}`;
}

export function duration(milliseconds) {
  const minutes = Math.floor(Math.max(0, milliseconds) / 60_000);
  const h = Math.floor(minutes / 60);
  if (h >= 24) return t('time.dh', { d: Math.floor(h / 24), h: h % 24 });
  return h ? t('time.hm', { h, m: minutes % 60 }) : t('time.m', { m: minutes });
}

export function elapsed(time, now = Date.now()) {
  const passed = now - new Date(time);
  return passed < 60_000 ? t('time.now') : t('list.elapsed', { time: duration(passed) });
}

/** A stage where there is little room: the legend, a list row. */
export function shortStage(stage) {
  return WORDS[`short.${stage}`] ? t(`short.${stage}`) : name('stage', stage);
}

/** The registry may hold a code or the Chinese word; both are shown in the page's language. */
export function machineType(type) {
  return type ? name('type', codeOf('type', type)) : t('type.machine');
}

export function number(value) {
  return new Intl.NumberFormat(currentLanguage() === 'zh' ? 'zh-CN' : 'en').format(value);
}

export function degrees(value, axis) {
  const letter = axis === 'longitude' ? (value < 0 ? 'W' : 'E') : (value < 0 ? 'S' : 'N');
  return `${Math.abs(value).toFixed(5)}° ${letter}`;
}

const COMPASS = { zh: ['北', '东北', '东', '东南', '南', '西南', '西', '西北'], en: ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'] };

export function course(value) {
  if (value === null || value === undefined) return t('app.none');
  return `${COMPASS[currentLanguage()][Math.round(value / 45) % 8]} ${Math.round(value)}°`;
}

export function speed(value) {
  return value === null || value === undefined ? t('app.none') : `${Number(value).toFixed(1)} km/h`;
}

/** How a machine is called in a sentence: 国二 挖掘机 3-30468844. */
export function machineName(machine, phone) {
  if (!machine?.registration_number && !machine?.machine_type) return phone ?? t('card.unbound');
  return [shortStage(machine.emission_stage ?? 'unknown'), machineType(machine.machine_type), machine.registration_number]
    .filter(Boolean).join(' ');
}
