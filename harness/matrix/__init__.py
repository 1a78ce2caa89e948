"""From a benchmark file to a validated matrix."""

from .load import load as load
from .matrix import Matrix as Matrix
