"""A deterministic simulator: the whole program under seeded crashes, pauses, lost answers and busy people."""

from tests.simulator.scenario import Verdict, simulate

__all__ = ["Verdict", "simulate"]
