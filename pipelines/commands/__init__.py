"""The verbs of the command line, one module each: options -> stages -> lines and exit codes."""
