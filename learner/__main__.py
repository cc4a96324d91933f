"""Console script `learner`, and `python -m learner`."""

from broker.program.entry import start


def main() -> None:
    start("learner", "learner.cli")


if __name__ == "__main__":
    main()
