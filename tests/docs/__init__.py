"""The documents are run, compiled and compared with the code."""
