"""`harness` for the fault suite: jobs that it submits to SLURM run another runner.

python command.py payload:run_nodes -b benchmark.yaml run --cluster slurm
"""

import sys

from harness.cli import main
from harness.submit.slurm import Slurm

if __name__ == "__main__":
    Slurm.__init__.__kwdefaults__["runner"] = sys.argv[1]
    sys.exit(main(sys.argv[2:]))
