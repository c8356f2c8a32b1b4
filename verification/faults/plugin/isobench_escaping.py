"""An aggressor that leaves its parents: stress-ng's daemons, each of which starts the next one and ends."""

from __future__ import annotations

from isobench.scenarios._aggressors import AGGRESSORS
from isobench.scenarios.neighbours import Beside

DAEMONS = AGGRESSORS[0]._replace(name="daemon", does="starts daemons that start daemons", words=("--daemon", "2"))

SCENARIOS = (Beside(DAEMONS),)
