"""Every mutant, in the order of the page."""

from mutants_of_adaptation import ADAPTATION
from mutants_of_masks import MASKS
from mutants_of_methods import METHODS
from mutants_of_origins import ORIGINS
from mutants_of_parts import PARTS

MUTANTS = (*PARTS, *MASKS, *METHODS, *ADAPTATION, *ORIGINS)
