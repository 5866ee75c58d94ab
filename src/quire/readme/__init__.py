"""READMEs as HTML, as PyPI renders them. Hostile input: it is rendered in a process of its own, with bounds."""
