"""The cases, in the order in which they run."""

from . import clients, fate, flower, given, replace, replicate, side_by_side, three_parties, trouble

ALL = [
    *replicate.CASES, *given.CASES, *three_parties.CASES, *fate.CASES, *clients.CASES, *flower.CASES, *trouble.CASES,
    *replace.CASES, *side_by_side.CASES,
]  # fmt: skip
