"""What the verbs have in common; none of these modules is a verb."""
