"""Console script `actor`, and `python -m actors`."""

from broker.program.entry import start


def main() -> None:
    start("actor", "actors.cli")


if __name__ == "__main__":
    main()
