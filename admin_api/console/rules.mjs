// A zone's rule in words. What is handed in: a zone's list of rules, one rule ({any_of: [predicate]}), or what a verdict
// records ({index, predicate, note}). A shape we don't know is shown as JSON rather than left out, because a verdict
// must name what fired.
import { codeOf, name, t } from './i18n.mjs';

const listed = (group, values) => [].concat(values).map((value) => name(group, codeOf(group, value))).join(t('rule.list'));

const PREDICATES = {
  stage_below: (value) => name('rule.stage_below', value),
  stage_in: (value) => t('rule.stage_in', { list: listed('stage', value) }),
  type_in: (value) => t('rule.type_in', { list: listed('type', value) }),
  energy_in: (value) => t('rule.energy_in', { list: listed('energy', value) }),
  registration_type: (value) => t('rule.registration_type', { list: listed('registration_type', value) }),
};

const joined = (rules, word) => rules.map(phrase).filter(Boolean).join(t(word));

function phrase(rule) {
  if (rule === null || rule === undefined) return '';
  if (Array.isArray(rule)) return joined(rule, 'rule.or');
  if (rule.predicate) return phrase(rule.predicate);
  if (rule.any_of) return joined(rule.any_of, 'rule.or');
  if (rule.all_of) return joined(rule.all_of, 'rule.and');
  const known = Object.keys(rule).filter((key) => PREDICATES[key]);
  if (!known.length) return JSON.stringify(rule);
  return known.map((key) => PREDICATES[key](rule[key])).join(t('rule.and'));
}

/** The words of `rule`, or a dash where none is given. */
export function ruleInWords(rule) {
  const remark = rule?.note === 'stage_x_as_pre' ? t('rule.x_as_pre') : '';
  return phrase(rule) + remark || t('app.none');
}
