"""The pages and files that an index serves: sources composed into views, kept fresh, within a budget."""
