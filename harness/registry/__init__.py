"""The content of a checkout: methods, tasks and corpora, found by name."""

from .content import Content as Content
from .content import find_content as find_content
from .modules import ShadowedPackage as ShadowedPackage
from .modules import load_module as load_module
