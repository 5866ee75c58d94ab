"""The measures. Each module notes its shots and figures in the suite's results."""
