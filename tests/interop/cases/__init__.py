"""The cases, in the order in which they run."""

from . import clients, fate, flower, replicate, side_by_side, three_parties, trouble

ALL = [*replicate.CASES, *three_parties.CASES, *fate.CASES, *clients.CASES, *flower.CASES, *trouble.CASES, *side_by_side.CASES]
