"""`make demo`: Earshot at work on this machine, with phone calls in which people talk.

It uses what users use: `earshot run`, `earshot user add`, `earshot dial` and the API. Everything it makes lies in one
folder, and everything it starts ends with it.

What must not be here: anything that the product needs, and any way into it that a user does not have.
"""
