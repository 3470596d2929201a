"""The rule language: the text of rules.yaml, checked and understood. These names are all that others need."""

from bridge.rules.facts import Facts, facts_of
from bridge.rules.language import LineTrace, Person, Rules, RuleTrace, Verdict, in_force
from bridge.rules.loading import check, load, read, recall
from bridge.rules.notes import inert
from bridge.rules.problems import Problem
from bridge.rules.schema import (
    Account,
    Deadline,
    Goodwill,
    Ignore,
    Limits,
    Playbook,
    Rule,
    Settings,
    Survey,
    SurveyText,
)

__all__ = [
    "Account",
    "Deadline",
    "Facts",
    "Goodwill",
    "Ignore",
    "Limits",
    "LineTrace",
    "Person",
    "Playbook",
    "Problem",
    "Rule",
    "RuleTrace",
    "Rules",
    "Settings",
    "Survey",
    "SurveyText",
    "Verdict",
    "check",
    "facts_of",
    "in_force",
    "inert",
    "load",
    "read",
    "recall",
]
