"""A simulated fleet whose truth is known: how many alarms are right, how many entries are found, and how soon."""
