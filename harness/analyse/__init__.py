"""Pure table -> table functions: from scores of cases to means with intervals."""
