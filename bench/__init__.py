"""Measurements: each module prints a table and writes `bench/results/<name>.json`; run them with `make bench-<name>`.

What must not be here: anything that the product needs, or a test. A figure is no assertion: machines differ.
"""
