"""Rules: which machines a zone bans, when, and the verdict on one machine.

A zone's rules are a list; a machine is banned where any of them holds while it counts. A rule is a group of predicates,
any_of or all_of. Predicates answer yes, no or unknown, and unknown is a verdict of its own: the zone's policy says what
it means. Pure functions of attributes and times; geofence.ruleset adds zones, exemptions and who sits where.
"""

from geofence.rules.judgement import Judgement, Verdict
from geofence.rules.reading import parse_rules
from geofence.rules.rule import Rule, rules_to_json, wording
from geofence.rules.terms import STAGES, Language

__all__ = ["STAGES", "Judgement", "Language", "Rule", "Verdict", "parse_rules", "rules_to_json", "wording"]
