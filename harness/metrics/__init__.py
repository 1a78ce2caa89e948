"""Pure scores of one case or one list of predictions, with undefined cases named."""
