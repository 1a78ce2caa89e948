"""From a matrix to the jobs that are still to do. Never imports torch."""

from .cells import Cell as Cell
from .cells import Job as Job
from .cells import Pretraining as Pretraining
from .plan import Plan as Plan
from .plan import make_plan as make_plan
