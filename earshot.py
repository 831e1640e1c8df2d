"""The `earshot` command."""


def main() -> None:
    raise SystemExit("nothing yet")
