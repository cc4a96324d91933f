"""Console script `broker`, and `python -m broker`."""

from broker.program.entry import start


def main() -> None:
    start("broker", "broker.cli")


if __name__ == "__main__":
    main()
