"""The command line. Each sub-command is one module here, listed in main.COMMANDS."""

from .main import main as main
