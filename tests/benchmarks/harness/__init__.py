"""What every benchmark is made of: cases with goals, alternating measurements, peers in environments of their own."""

from .cases import Case, Goal, Reading, WrongResult, speed_goals
from .measuring import Comparison, Cost
from .peers import PeerFailure, PeerLimit, PeerProcess
from .running import Bench, run_benchmark

__all__ = [
    "Bench",
    "Case",
    "Comparison",
    "Cost",
    "Goal",
    "PeerFailure",
    "PeerLimit",
    "PeerProcess",
    "Reading",
    "WrongResult",
    "run_benchmark",
    "speed_goals",
]
