// A zone's rule in words, as geofence/rules says it. What is handed in: a zone's list of rules, one rule ({any_of | all_of,
// valid_from?, valid_to?, weekdays?, hours?, name?}), or what a verdict records ({index, version, predicate, note}). A
// shape we don't know is shown as JSON rather than left out, because a verdict must name what fired.
import { fullMoment } from './format.mjs';
import { codeOf, name, t } from './i18n.mjs';

const listed = (group, values) => [].concat(values).map((value) => name(group, codeOf(group, value))).join(t('rule.list'));

function power({ min, max }) {
  if (min === undefined) return t('rule.power_below', { max });
  return max === undefined ? t('rule.power_from', { min }) : t('rule.power_between', { min, max });
}

const PREDICATES = {
  stage_below: (value) => name('rule.stage_below', value),
  stage_in: (value) => t('rule.stage_in', { list: listed('stage', value) }),
  smoke_class_not_met: (value) => name('rule.smoke_class_not_met', value),
  type_in: (value) => t('rule.type_in', { list: listed('type', value) }),
  type_not_in: (value) => t('rule.type_not_in', { list: listed('type', value) }),
  registration_type: (value) => t('rule.registration_type', { list: listed('registration_type', value) }),
  power_kw: power,
  energy_in: (value) => t('rule.energy_in', { list: listed('energy', value) }),
};

// Midnight needs no time of day.
const date = (time) => fullMoment(time).replace(/ 00:00:00$/, '');

// An end at or before the begin is on the next day; both are HH:MM.
const hours = ([begin, end]) => t(end <= begin ? 'rule.hours_overnight' : 'rule.hours', { begin, end });

function when(rule) {
  return [
    rule.valid_from && t('rule.from', { date: date(rule.valid_from) }),
    rule.valid_to && t('rule.before', { date: date(rule.valid_to) }),
    rule.weekdays?.map((day) => name('rule.weekday', day)).join(t('rule.list')),
    rule.hours?.map(hours).join(t('rule.list')),
  ].filter(Boolean).join(t('rule.when'));
}

function inside(condition) {
  const members = condition.any_of ?? condition.all_of;
  return members?.length > 1 ? `(${phrase(condition)})` : phrase(condition);
}

function phrase(condition) {
  if (condition.any_of) return condition.any_of.map(inside).join(t('rule.or'));
  if (condition.all_of) return condition.all_of.map(inside).join(t('rule.and'));
  const [kind, ...more] = Object.keys(condition);
  if (more.length || !PREDICATES[kind]) return JSON.stringify(condition);
  return PREDICATES[kind](condition[kind]);
}

function words(rule) {
  if (rule === null || rule === undefined) return '';
  if (Array.isArray(rule)) return rule.map(words).join(t('rule.next'));
  if (rule.predicate) return phrase(rule.predicate);
  return [rule.name, when(rule), phrase(rule)].filter(Boolean).join(t('rule.colon'));
}

/** The words of `rule`, or a dash where none is given. */
export function ruleInWords(rule) {
  const remark = rule?.note === 'stage_x_as_pre' ? t('rule.x_as_pre') : '';
  return words(rule) + remark || t('app.none');
}
