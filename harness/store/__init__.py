"""The results folder: nodes, attempts, manifests and tables. Never imports torch."""

from .attempt import Attempt as Attempt
from .attempt import classify as classify
from .durable import DiskFull as DiskFull
from .records import Manifest as Manifest
from .store import Store as Store
