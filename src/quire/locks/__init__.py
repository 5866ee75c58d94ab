"""Lock files: the releases and digests that installers recorded. Pure functions of their bytes."""
