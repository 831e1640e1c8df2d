"""How the tables came to be, step by step; `earshot migrate` applies the steps that a database lacks.

A step that was released is never changed. No step may alter a column (AlterField): on SQLite, Tortoise makes the table
anew and forgets its indexes. A new column that may not be NULL needs a `db_default`.
"""
