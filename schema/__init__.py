"""The database: models, migrations, and the bridge that hides asyncio from everybody else.

What must not be here: rules about calls or permissions; and nobody else may import the ORM.
"""
