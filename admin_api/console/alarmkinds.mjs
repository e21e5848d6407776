// What an alarm is about, in words: an entry by its rule, another kind by what was found.
import { degrees, fullMoment, number, speed } from './format.mjs';
import { name, t } from './i18n.mjs';
import { ruleInWords } from './rules.mjs';

export const isEntry = ({ kind }) => (kind ?? 'zone_entry') === 'zone_entry';

/** Whether a machine is what it is about: what a terminal or a partition did may be of none. */
export const hasMachine = (alarm) => isEntry(alarm) || Boolean(alarm.machine);

/** One line: the rule that an entry broke; the kind of any other alarm. */
export const headline = (alarm) => (isEntry(alarm) ? ruleInWords(alarm.rule) : name('kind', alarm.kind));

/** What was found, of an alarm that is no entry: which bits where its kind has several, what was parked and why, when it was seen, how far apart. */
export function findings({ kind, detail = {} }) {
  const said = kind === 'antenna_cut' ? (detail.bits ?? []).map((bit) => name('signal.bit', bit)) : [];
  if (detail.fixed === false) said.push(t('signal.no_fix'));
  if (detail.other_terminal) {
    said.push(t('signal.apart', { phone: detail.other_terminal, km: number(Math.round(detail.distance_m / 100) / 10) }));
  }
  for (const [reason, n] of Object.entries(detail.parked ?? {})) said.push(t(`signal.parked.${reason}`, { n: number(n) }));
  for (const [field, key] of [['cancelled_at', 'cancelled_at'], ['quarantined_until', 'held_until'], ['last_seen', 'last_seen']]) {
    if (detail[field]) said.push(t(`signal.${key}`, { time: fullMoment(detail[field]) }));
  }
  return said.join(t('rule.list'));
}

/** What is to be done about it where nobody can drive there. */
export const remedy = ({ detail = {} }) => (detail.parked ? t('signal.parked.todo') : null);

/** How people were told, or that they were not. */
export function told({ page_reason: reason, paged_at: at, notice }) {
  if (at) return `${name('page', reason)} ${fullMoment(at)}`;
  return t(notice === 'digest' ? 'page.digest' : 'page.none');
}

/** The grade, and the fix that gave it. */
export function gradeInWords({ grade, grade_reason: reason }) {
  if (!reason) return name('grade', grade);
  const engine = t(reason.engine_on ? 'grade.engine_on' : 'grade.engine_off');
  return `${name('grade', grade)} (${t('grade.reason', { time: fullMoment(reason.at), engine, speed: speed(reason.speed_kmh) })})`;
}

/** Its place, where it has one. */
export function place({ latitude, longitude }) {
  return typeof latitude === 'number' ? `${degrees(latitude, 'latitude')}, ${degrees(longitude, 'longitude')}` : null;
}
