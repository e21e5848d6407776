"""Zones, datums, the exact fence grid, rules, presences and visits: functions of arrays and times, no async, no clock."""
